// Every tunable constant of the library, with its unit and the reason for its value. Nothing else.
#pragma once

#include <chrono>
#include <cstddef>

namespace sluice::inline v0_1::limits {

// asyncio's defaults: a writer is paused above 64 KiB of unsent bytes and resumed at 16 KiB.
inline constexpr std::size_t write_high_water_bytes = 64 * 1024;
inline constexpr std::size_t write_low_water_bytes = 16 * 1024;

// A span below this is copied and gathered inside loop callbacks: copying 4 KiB costs some 0.1 us,
// a send some 3.
inline constexpr std::size_t gather_span_bytes = 4 * 1024;
// writelines() copies its pieces together when they are smaller than this on average: a segment
// costs sendmsg about as much.
inline constexpr std::size_t gather_piece_bytes = 512;
// Gathered bytes are sent at the latest when one block is full.
inline constexpr std::size_t gather_block_bytes = 64 * 1024;
// Blocks kept for reuse between flushes; more than one connection is rarely dirty at the same time.
inline constexpr std::size_t gather_blocks_kept = 8;

// The loop's shared receive buffer starts small, so that short messages stay in the first-level
// caches, and grows while reads fill it: at 256 KiB messages a 64 KiB buffer costs 20 % more CPU.
inline constexpr std::size_t receive_start_bytes = 64 * 1024;
inline constexpr std::size_t receive_max_bytes = 256 * 1024;
// After this many reads in a row that used less than a quarter of the buffer it is halved again.
inline constexpr unsigned receive_shrink_after_reads = 1024;

// One connection may read this much per readiness event before the others get their turn.
inline constexpr std::size_t read_budget_bytes = 256 * 1024;

// Segments handed to one sendmsg. IOV_MAX is 1024; past 64 the kernel's own copying dominates.
inline constexpr std::size_t gather_segments = 64;
// A copied backlog grows in segments of at least and at most this size.
inline constexpr std::size_t backlog_segment_min_bytes = 512;
inline constexpr std::size_t backlog_segment_max_bytes = 64 * 1024;

// TLS: the plaintext of a full record (RFC 8446, 5.1).
inline constexpr std::size_t tls_record_bytes = 16 * 1024;
// Plaintext handed to OpenSSL in one go, a whole number of full records.
inline constexpr std::size_t tls_seal_bytes = 64 * 1024;
// Ciphertext that is sealed before it is sent: one system call for several records, while they are
// still in the second-level cache.
inline constexpr std::size_t tls_burst_bytes = 256 * 1024;
// What 16 full records add to 256 KiB of plaintext, rounded up: one read takes a whole large
// message.
inline constexpr std::size_t tls_receive_slack_bytes = 4 * 1024;
// Connections of a loop that keep OpenSSL's record buffers between messages, 33 KiB each of which
// small messages touch 8; and the bytes of one reading up to which a connection is worth it: with
// larger messages memory that was used last, still in the cache, is better than one's own.
inline constexpr std::size_t tls_warm_connections = 64;
inline constexpr std::size_t tls_warm_message_bytes = 4 * 1024;
// Messages of others before one of them takes the place of the connection that has been idle for
// longest: with 1,000 busy connections one in 64 messages pays for a change, not each.
inline constexpr unsigned tls_warm_refusals = 63;
// A socket whose kernel opens TLS records and that is readable in vain is left alone after so many
// times, which take less than the shortest rest; for how long, detail/record_rest.hpp says.
inline constexpr unsigned record_rest_after_misses = 8;
inline constexpr std::chrono::microseconds record_rest_min{100};
inline constexpr std::chrono::milliseconds record_rest_max{250};
// What a server reads at a time of a client in its handshake. While the client waits for its turn
// that is copied, so it is also what a flood can make a server keep for each.
inline constexpr std::size_t tls_handshake_space_bytes = 4 * 1024;
// Layers of TLS inside TLS that share the loop's receive areas, and the space a deeper or foreign
// one gets of its own while it reads.
inline constexpr unsigned tls_shared_layers = 2;
inline constexpr std::size_t tls_own_space_bytes = 32 * 1024;
// Handshake steps of servers in one iteration of the loop, some 100 us each: a flood of new
// connections delays established ones by 2 ms, not by as long as it lasts.
inline constexpr unsigned tls_handshake_turns = 16;
// asyncio's ssl_handshake_timeout and ssl_shutdown_timeout.
inline constexpr std::chrono::seconds tls_handshake_time{60};
inline constexpr std::chrono::seconds tls_shutdown_time{30};

// Files: what one connection sends of them before the others get their turn, and what one system call
// is asked for at most (sendfile(2): Linux never sends more).
inline constexpr std::size_t file_turn_bytes = 2 * 1024 * 1024;
inline constexpr std::size_t file_call_bytes = 0x7ffff000;
// Where a call completes later (IOCP) it is asked for less than a turn, so that the next one follows at once;
// on a connection with a time limit for little, since nothing tells how far it has got.
inline constexpr std::size_t file_completion_bytes = 1024 * 1024;
inline constexpr std::size_t file_timed_bytes = 64 * 1024;
// From this size on a file is worth the two system calls that see to full packets (tcp(7), TCP_CORK).
inline constexpr std::size_t file_cork_bytes = 128 * 1024;
// Files that the kernel cannot send by itself are read in chunks. In 16 KiB ones a large file costs
// three times the CPU; past a few MiB a chunk leaves the caches before it is sent.
inline constexpr std::size_t file_chunk_bytes = 256 * 1024;
inline constexpr std::size_t file_chunk_max_bytes = 16 * 1024 * 1024;

// Datagrams that one system call receives or sends: past 32 the system's own work is all that is left,
// and each of them touches a page of the receive area.
inline constexpr std::size_t datagram_batch = 32;
// What one endpoint may receive per readiness event before the others get their turn.
inline constexpr std::size_t datagram_turn = 256;
// The loop's memory for one batch, and the room in it for each datagram: the largest of UDP, and as
// asyncio has it, of Unix sockets.
inline constexpr std::size_t datagram_area_bytes = 2 * 1024 * 1024;
inline constexpr std::size_t datagram_bytes = 64 * 1024;
inline constexpr std::size_t datagram_unix_bytes = 256 * 1024;
// What an unsent datagram counts beyond its payload (asyncio: the size of a UDP header).
inline constexpr std::size_t datagram_header_bytes = 8;
// Errors of sending that wait to be told.
inline constexpr std::size_t datagram_errors_kept = 64;
// Datagrams that UDP_SEGMENT joins (Linux: UDP_MAX_SEGMENTS), and their bytes: what IPv4 can say.
inline constexpr std::size_t datagram_segments = 64;
inline constexpr std::size_t datagram_joined_bytes = 65000;
// How long a sender of datagrams waits that the system calls writable and that is not: a Unix endpoint
// whose peer has a full queue.
inline constexpr std::chrono::milliseconds datagram_retry_time{1};
// Streams: asyncio's limit of a reader; it stops reading above twice as much.
inline constexpr std::size_t stream_limit_bytes = 64 * 1024;
// What a waiting reader keeps for the next bytes, and up to where its block grows because reads fill
// it: past 64 KiB a read gains nothing and leaves the second-level cache.
inline constexpr std::size_t stream_block_min_bytes = 4 * 1024;
inline constexpr std::size_t stream_block_max_bytes = 64 * 1024;

// Readiness events fetched by one system call.
inline constexpr std::size_t poll_batch_events = 256;
// io_uring: entries of the submission queue, one for each event of a batch, and of the completion queue. What
// does not fit into that the kernel keeps, but a multishot operation ends with it, so it holds what a busy
// loop's connections can complete at once. And completions taken from it at a time.
inline constexpr unsigned ring_entries = 256;
inline constexpr unsigned ring_completion_entries = 4096;
inline constexpr std::size_t ring_completions = 64;
// The buffers that it receives into, a power of two of them. What fills several of them in a row is large
// data, for which recv(2) into a large buffer is cheaper; what then fits into one several times, is not.
inline constexpr std::size_t ring_buffers = 512;
inline constexpr std::size_t ring_buffer_bytes = 4 * 1024;
inline constexpr unsigned ring_large_after_pieces = 4;
inline constexpr unsigned ring_small_after_reads = 16;
// How soon a loop that got no ring, for want of descriptors or memory, tries again.
inline constexpr std::chrono::milliseconds ring_retry_time{10};
// How often the kernel is asked to go on with work that it does in portions, before that is left to the
// next wait.
inline constexpr unsigned ring_work_rounds = 64;
// What is being read from files when a ring goes is waited for so often, and so long at a time.
inline constexpr unsigned ring_end_rounds = 100;
inline constexpr std::chrono::milliseconds ring_end_time{10};
// And what it sends with one entry into the kernel: connections, bytes, and bytes of one connection, past
// which copying costs more than a system call.
inline constexpr std::size_t send_batch_entries = 1024;
inline constexpr std::size_t send_batch_bytes = 256 * 1024;
inline constexpr std::size_t batched_send_bytes = 4 * 1024;

// asyncio's backlog, also the number of connections accepted per readiness event.
inline constexpr int listen_backlog = 100;
// How long a listener that ran out of descriptors or memory rests before it tries again (asyncio: 1
// s).
inline constexpr std::chrono::milliseconds accept_rest_time{1000};
// IOCP: accepts under way for a listener, each of which has a socket made ahead. What a wait brings at most;
// beyond a few, connecting costs more than another wait.
inline constexpr std::size_t accepts_ahead = 8;

// A Unix server with a full backlog refuses at once (connect(2), EAGAIN): how long that is tried again
// unless the caller says otherwise, and the shortest and longest pause between two tries. Over TCP the
// kernel does the same, with longer pauses.
inline constexpr std::chrono::seconds unix_connect_time{60};
inline constexpr std::chrono::milliseconds unix_connect_pause_min{1};
inline constexpr std::chrono::milliseconds unix_connect_pause_max{50};
// How long a PROXY header may take: its specification asks for 3 s at least, so that a lost packet can
// be sent again.
inline constexpr std::chrono::seconds proxy_header_time{5};
// What a PROXY header may be long: addresses and what is behind them, a client's certificate as the
// largest. The fixed part of version 2 can announce 64 KiB, which nobody sends.
inline constexpr std::size_t proxy_header_bytes = 4 * 1024;
inline constexpr std::size_t proxy_header_min_bytes = 232;  // Unix addresses
inline constexpr std::size_t proxy_header_max_bytes = 16 + 0xffff;
// How soon bytes that may become a header, or not, are looked at again; doubled each time.
inline constexpr std::chrono::milliseconds proxy_look_again_time{1};
inline constexpr std::chrono::milliseconds proxy_look_again_max{100};

// RFC 8305 "Connection Attempt Delay".
inline constexpr std::chrono::milliseconds happy_eyeballs_delay{250};
// RFC 1035: 253 characters of a name; more cannot be a host.
inline constexpr std::size_t host_name_bytes = 253;

// Threads of the default executor, as concurrent.futures: cores + 4, at most 32.
inline constexpr unsigned executor_threads_max = 32;
inline constexpr unsigned executor_threads_extra = 4;

// A single wait never exceeds a day: select-like clocks of some kernels misbehave beyond (asyncio:
// 24 h).
inline constexpr std::chrono::hours poll_wait_max{24};

// Debug mode reports callbacks that ran longer (asyncio: slow_callback_duration).
inline constexpr std::chrono::milliseconds slow_callback_duration{100};

// Debug mode reports the first write to a lost connection after this many have been dropped, and
// none after it (asyncio: LOG_THRESHOLD_FOR_CONNLOST_WRITES).
inline constexpr unsigned lost_writes_before_warning = 5;

}  // namespace sluice::inline v0_1::limits
