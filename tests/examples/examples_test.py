#!/usr/bin/env python3
"""Each example, run as a user runs it. CTest calls this with the name of one class below.

SLUICE_EXAMPLES names the folder with the programs.
"""

import os
import re
import signal
import socket
import threading
import unittest

from support import (
    HOST,
    LIMIT,
    Program,
    connect,
    pattern,
    program_path,
    receive_all,
    receive_exactly,
    receive_line,
    send_until_refused,
)

MIB = 1 << 20
# More than the kernel's socket buffers hold on both ends of two connections (tcp_wmem and tcp_rmem end at 4 and 6 MiB,
# some systems allow 32), with room to spare; what is sent is far more than that.
BUFFERS_AT_MOST = 96 * MIB
FLOOD = 192 * MIB
# Long byte strings are compared with assertTrue(a == b): unittest would spend minutes on showing where two of them differ.


def example(name, *arguments):
    return Program(os.path.join(program_path("SLUICE_EXAMPLES"), name), *arguments)


class Sender:
    """Sends bytes and then the end of the stream, from a thread, as fast as the connection takes them."""

    def __init__(self, connection, data):
        self._thread = threading.Thread(target=self._run, args=(connection, data))
        self._thread.start()

    @staticmethod
    def _run(connection, data):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    def join(self):
        self._thread.join(LIMIT)


class EchoServer(unittest.TestCase):
    def test_gives_every_byte_back_and_ends_with_the_client(self):
        sent = pattern(1, 300_000)
        with example("echo_server", HOST, 0) as server:
            with connect(server.listening_port()) as client:
                client.sendall(sent)
                client.shutdown(socket.SHUT_WR)
                self.assertTrue(receive_all(client) == sent)
            server.end()

    def test_does_not_read_from_a_client_that_does_not_read(self):
        block = pattern(2, 3 * MIB)
        data = block * (FLOOD // len(block))
        with example("echo_server", HOST, 0) as server:
            with connect(server.listening_port()) as client:
                accepted = send_until_refused(client, data)
                self.assertLess(accepted, BUFFERS_AT_MOST)
                sender = Sender(client, memoryview(data)[accepted:])
                for _ in range(FLOOD // len(block)):
                    self.assertTrue(receive_exactly(client, len(block)) == block)
                self.assertEqual(client.recv(1), b"")
                sender.join()
            server.end()

    def test_says_what_is_wrong_with_its_address(self):
        with example("echo_server", "256.1.1.1.invalid", 0) as server:
            self.assertNotEqual(server.exit_code(), 0)
            self.assertIn("256.1.1.1.invalid", server.error_text())


class EchoClient(unittest.TestCase):
    def test_prints_what_the_server_gives_back(self):
        with example("echo_server", HOST, 0) as server:
            port = server.listening_port()
            with example("echo_client", HOST, port, "good", "morning") as client:
                self.assertEqual(client.line(), "good morning")
                self.assertEqual(client.exit_code(), 0)
                self.assertEqual(client.error_text(), "")
            server.end()

    def test_names_the_address_that_nobody_listens_on(self):
        with socket.socket() as unused:
            unused.bind((HOST, 0))
            port = unused.getsockname()[1]
            with example("echo_client", HOST, port) as client:
                self.assertEqual(client.exit_code(), 1)
                self.assertIn(f"{HOST}:{port}", client.error_text())

    def test_reports_a_connection_that_breaks(self):
        with socket.create_server((HOST, 0)) as listener:
            listener.settimeout(LIMIT)
            with example("echo_client", HOST, listener.getsockname()[1], "hello") as client:
                connection, _ = listener.accept()
                receive_exactly(connection, len("hello\n"))
                # Closing with a zero linger time sends a reset instead of an end of stream.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.close()
                self.assertEqual(client.exit_code(), 1)
                self.assertIn("the connection broke", client.error_text())

    def test_explains_its_arguments(self):
        with example("echo_client") as client:
            self.assertEqual(client.exit_code(), 1)
            self.assertIn("usage", client.error_text())


class Chat(unittest.TestCase):
    def setUp(self):
        self.server = example("chat", HOST, 0)
        self.addCleanup(self.server.__exit__)
        self.port = self.server.listening_port()

    def join(self, *others):
        """A new member, once everybody else has heard of it."""
        member = connect(self.port)
        self.addCleanup(member.close)
        name = "{}:{}".format(*member.getsockname())
        for other in others:
            self.assertEqual(receive_line(other), f"{name} joins\n")
        return member, name

    def test_passes_each_line_to_all_the_others(self):
        ann, ann_name = self.join()
        bob, bob_name = self.join(ann)
        eve, _ = self.join(ann, bob)
        ann.sendall(b"one\ntwo\nunfin")
        for other in (bob, eve):
            self.assertEqual(receive_line(other), f"{ann_name}: one\n")
            self.assertEqual(receive_line(other), f"{ann_name}: two\n")
        ann.sendall(b"ished\n")
        for other in (bob, eve):
            self.assertEqual(receive_line(other), f"{ann_name}: unfinished\n")
        bob.close()
        # The first thing Ann hears since Eve came: nobody hears itself.
        for other in (ann, eve):
            self.assertEqual(receive_line(other), f"{bob_name} leaves\n")
        self.server.end()

    def test_drops_who_never_ends_a_line(self):
        ann, _ = self.join()
        bob, bob_name = self.join(ann)
        bob.sendall(b"x" * 10_000)
        self.assertEqual(receive_line(ann), f"{bob_name} leaves\n")
        self.server.end()

    def test_drops_who_does_not_read(self):
        talker, _ = self.join()
        _, sleeper_name = self.join(talker)
        lines = (b"x" * 4000 + b"\n") * 256
        heard = b""
        sent = 0
        while not heard:
            talker.settimeout(LIMIT)
            talker.sendall(lines)
            sent += len(lines)
            self.assertLess(sent, BUFFERS_AT_MOST)
            talker.settimeout(0)
            try:
                heard = talker.recv(1 << 16)
            except BlockingIOError:
                pass
        self.assertEqual(heard.decode(), f"{sleeper_name} leaves\n")
        self.server.end()


class TcpProxy(unittest.TestCase):
    def setUp(self):
        self.listener = socket.create_server((HOST, 0))
        self.addCleanup(self.listener.close)
        self.listener.settimeout(LIMIT)
        self.proxy = example("tcp_proxy", HOST, 0, HOST, self.listener.getsockname()[1])
        self.addCleanup(self.proxy.__exit__)
        self.port = self.proxy.listening_port()

    def connected_pair(self):
        """A client of the proxy and the connection that the proxy opened for it."""
        client = connect(self.port)
        self.addCleanup(client.close)
        target, _ = self.listener.accept()
        self.addCleanup(target.close)
        target.settimeout(LIMIT)
        return client, target

    def test_forwards_both_directions(self):
        client, target = self.connected_pair()
        forth, back = pattern(3, 500_000), pattern(4, 700_000)
        sender = Sender(client, forth)
        self.assertTrue(receive_all(target) == forth)
        sender.join()
        # The client's direction has ended; the other one lives on.
        sender = Sender(target, back)
        self.assertTrue(receive_all(client) == back)
        sender.join()
        self.proxy.end()

    def test_forwards_what_a_client_sent_before_the_target_was_there(self):
        client = connect(self.port)
        self.addCleanup(client.close)
        client.sendall(b"early")
        target, _ = self.listener.accept()
        with target:
            target.settimeout(LIMIT)
            self.assertEqual(receive_exactly(target, 5), b"early")
        self.assertEqual(client.recv(1), b"")
        self.proxy.end()

    def test_slows_a_sender_down_to_its_reader(self):
        client, target = self.connected_pair()
        block = pattern(5, 3 * MIB)
        data = block * (FLOOD // len(block))
        accepted = send_until_refused(client, data)
        self.assertLess(accepted, BUFFERS_AT_MOST)
        sender = Sender(client, memoryview(data)[accepted:])
        for _ in range(FLOOD // len(block)):
            self.assertTrue(receive_exactly(target, len(block)) == block)
        self.assertEqual(target.recv(1), b"")
        sender.join()
        self.proxy.end()

    def test_hangs_up_when_either_end_does(self):
        for closing in (0, 1):
            pair = self.connected_pair()
            pair[closing].close()
            self.assertEqual(pair[1 - closing].recv(1), b"")
            pair[1 - closing].close()
        self.proxy.end()

    def test_serves_many_connections_at_once(self):
        pairs = [self.connected_pair() for _ in range(50)]
        for number, (client, _) in enumerate(pairs):
            client.sendall(pattern(number, 10_000))
        for number, (client, target) in enumerate(pairs):
            self.assertTrue(receive_exactly(target, 10_000) == pattern(number, 10_000))
            client.close()
            self.assertEqual(target.recv(1), b"")
        self.proxy.end()

    def test_hangs_up_when_there_is_no_target(self):
        self.listener.close()
        with connect(self.port) as client:
            self.assertEqual(client.recv(1), b"")
        self.proxy.send_signal(signal.SIGTERM)
        self.assertEqual(self.proxy.exit_code(), -signal.SIGTERM)
        self.assertIn(HOST, self.proxy.error_text())

    def test_explains_its_arguments(self):
        with example("tcp_proxy", HOST) as proxy:
            self.assertEqual(proxy.exit_code(), 2)
            self.assertIn("usage", proxy.error_text())


class GracefulShutdown(unittest.TestCase):
    def check_refused(self, port):
        with socket.socket() as late:
            self.assertNotEqual(late.connect_ex((HOST, port)), 0)

    def test_ends_at_once_without_clients(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with example("graceful_shutdown", HOST, 0) as server:
                server.listening_port()
                server.send_signal(number)
                self.assertEqual(server.line(), "waiting for 0 clients")
                self.assertEqual(server.line(), "all have finished")
                self.assertEqual(server.exit_code(), 0)
                self.assertEqual(server.error_text(), "")

    def test_serves_those_who_are_there_and_nobody_else(self):
        with example("graceful_shutdown", HOST, 0, 2 * LIMIT) as server:
            port = server.listening_port()
            with connect(port) as client:
                client.sendall(b"before")
                self.assertEqual(receive_exactly(client, 6), b"before")
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.line(), "waiting for 1 clients")
                self.check_refused(port)
                server.send_signal(signal.SIGTERM)  # An impatient second time changes nothing.
                client.sendall(b"after")
                self.assertEqual(receive_exactly(client, 5), b"after")
            self.assertEqual(server.line(), "all have finished")
            self.assertEqual(server.exit_code(), 0)
            self.assertEqual(server.error_text(), "")

    def test_cuts_off_who_does_not_finish_in_time(self):
        with example("graceful_shutdown", HOST, 0, 0) as server:
            with connect(server.listening_port()) as client:
                client.sendall(b"x")
                self.assertEqual(receive_exactly(client, 1), b"x")
                server.send_signal(signal.SIGTERM)
                self.assertEqual(server.line(), "waiting for 1 clients")
                self.assertEqual(client.recv(1), b"")
                self.assertEqual(server.line(), "the deadline cut some off")
                self.assertEqual(server.exit_code(), 0)
                self.assertEqual(server.error_text(), "")


class MultiLoopServer(unittest.TestCase):
    def test_spreads_clients_over_all_loops_and_ends_with_all_of_them(self):
        with example("multi_loop_server", HOST, 0, 3) as server:
            port = server.listening_port()
            seen = set()
            # The kernel chooses by a hash of the ports. Three loops that 500 clients never meet have a chance of
            # less than 10 ** -80.
            for number in range(500):
                with connect(port) as client:
                    seen.add(receive_line(client))
                    client.sendall(pattern(number, 100))
                    self.assertEqual(receive_exactly(client, 100), pattern(number, 100))
                if len(seen) == 3:
                    break
            self.assertEqual(seen, {f"served by loop {number}\n" for number in range(3)})
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.exit_code(), 0)
            self.assertEqual(server.error_text(), "")

    def test_ends_on_a_signal_with_clients_on_every_loop(self):
        with example("multi_loop_server", HOST, 0, 2) as server:
            port = server.listening_port()
            clients = [connect(port) for _ in range(32)]
            for client in clients:
                self.addCleanup(client.close)
                receive_line(client)
            server.send_signal(signal.SIGINT)
            self.assertEqual(server.exit_code(), 0)
            for client in clients:
                self.assertEqual(client.recv(1), b"")
            self.assertEqual(server.error_text(), "")


class SlowReader(unittest.TestCase):
    def check_lines(self, connection, first, last):
        expected = "".join(f"line {number}\n" for number in range(first, last + 1)).encode()
        self.assertTrue(receive_exactly(connection, len(expected)) == expected)

    def test_sends_no_faster_than_each_client_reads(self):
        many = 2_000_000
        with example("slow_reader", HOST, 0) as server:
            port = server.listening_port()
            with connect(port) as sleeper, connect(port) as reader:
                # More than all buffers on the way hold, sent to one client while the other reads nothing.
                self.check_lines(reader, 1, many)
                reader.close()
                lines, unsent = self.told(server)
                self.assertGreaterEqual(lines, many)
                # The sleeper's stream stands still, and nothing of it is lost.
                self.check_lines(sleeper, 1, 100_000)
            lines, unsent = self.told(server)
            self.assertGreater(lines, 100_000)
            self.assertLess(lines * len("line 1\n"), BUFFERS_AT_MOST)
            # The high-water mark, and what was gathered when it was crossed.
            self.assertLess(unsent, 2 * 65536)
            server.end()

    def told(self, server):
        match = re.fullmatch(r"(\d+) lines, at most (\d+) bytes unsent", server.line())
        self.assertIsNotNone(match)
        return int(match[1]), int(match[2])


class Lines(unittest.TestCase):
    def test_answers_lines_however_they_are_cut(self):
        with example("lines", HOST, 0) as server:
            with connect(server.listening_port()) as client:
                for piece, answer in ((b"four\n", b"4\n"), (b"\nse", b"0\n"), (b"ven 77\nx\n", b"8\n1\n")):
                    client.sendall(piece)
                    self.assertEqual(receive_exactly(client, len(answer)), answer)
                client.sendall(b"quit\nand this is not answered\n")
                self.assertEqual(receive_all(client), b"goodbye\n")
            server.end()

    def test_hangs_up_on_a_line_without_end(self):
        with example("lines", HOST, 0) as server:
            with connect(server.listening_port()) as client:
                client.sendall(b"x" * 1001)
                self.assertEqual(receive_all(client), b"")
            server.end()

    def test_does_not_wait_for_ever(self):
        with example("lines", HOST, 0, 50) as server:
            with connect(server.listening_port()) as client:
                self.assertEqual(receive_all(client), b"too slow, goodbye\n")
            server.end()


class Reconnect(unittest.TestCase):
    def test_tries_until_the_server_is_there(self):
        with socket.socket() as listener:
            listener.settimeout(LIMIT)
            listener.bind((HOST, 0))  # Until it listens, the system refuses.
            with example("reconnect", *listener.getsockname()) as client:
                for _ in range(2):
                    self.assertRegex(client.line(), rf"{HOST}:.*, trying again$")
                listener.listen()
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"welcome\n")
                line = client.line()
                while line.endswith(", trying again"):
                    line = client.line()
                self.assertEqual(line, "welcome")
                self.assertEqual(client.exit_code(), 0)

    def test_gives_up_after_the_last_attempt(self):
        with socket.socket() as unused:
            unused.bind((HOST, 0))
            port = unused.getsockname()[1]
            with example("reconnect", HOST, port, 2) as client:
                self.assertIn("trying again", client.line())
                self.assertEqual(client.exit_code(), 1)
                self.assertIn(f"{HOST}:{port}", client.error_text())


class Worker(unittest.TestCase):
    def test_counts_for_several_clients_at_once(self):
        with example("worker", HOST, 0) as server:
            port = server.listening_port()
            with connect(port) as slow, connect(port) as quick:
                slow.sendall(b"30000000\n")
                for _ in range(3):
                    quick.sendall(b"100\n")
                    self.assertEqual(receive_line(quick), "25 primes below 100\n")
                self.assertEqual(receive_line(slow), "1857859 primes below 30000000\n")
            server.end()

    def test_survives_a_client_that_leaves_before_the_answer(self):
        with example("worker", HOST, 0) as server:
            port = server.listening_port()
            with connect(port) as client:
                client.sendall(b"3000000\n" * 3)
            with connect(port) as client:
                client.sendall(b"10\n")
                self.assertEqual(receive_line(client), "4 primes below 10\n")
            server.end()


class Counters(unittest.TestCase):
    def test_tells_on_a_signal_what_loop_server_and_connections_have_done(self):
        with example("counters", HOST, 0) as server:
            port = server.listening_port()
            with connect(port) as one, connect(port) as other:
                one.sendall(pattern(6, 1000))
                self.assertEqual(receive_exactly(one, 1000), pattern(6, 1000))
                # An answer for the second one shows that it is accepted, too.
                other.sendall(b"x")
                self.assertEqual(receive_exactly(other, 1), b"x")
                server.send_signal(signal.SIGUSR1)
                self.assertRegex(
                    server.line(),
                    r"^loop: [1-9]\d* iterations, 0 timers, [1-9]\d* receives, [1-9]\d* sends, longest stretch \d+.s$",
                )
                self.assertEqual(server.line(), "server: 2 accepted, 2 open")
                expected = {
                    "{}:{}: {} bytes in, {} bytes out, 0 unsent".format(*connection.getsockname(), count, count)
                    for connection, count in ((one, 1000), (other, 1))
                }
                self.assertEqual({server.line(), server.line()}, expected)
            server.end()


class JobQueue(unittest.TestCase):
    def test_handles_what_it_can_and_gives_up_what_hangs(self):
        with example("job_queue", 50) as program:
            self.assertEqual(program.line(), "45 handled, 5 given up")
            self.assertEqual(program.exit_code(), 0)


class StructuredCrawler(unittest.TestCase):
    def test_gets_what_answers_and_says_what_does_not(self):
        with example("structured_crawler") as program:
            lines = [program.line() for _ in range(3)]
            self.assertEqual(lines[2], "(no answer)")
            self.assertEqual(sorted(lines[:2]), ["one", "two"])
            self.assertEqual(program.exit_code(), 0)


if __name__ == "__main__":
    unittest.main()
