// Layer 4: streams for coroutines.
#include <sluice/impl/separators.ipp>
#include <sluice/impl/stream.ipp>
#include <sluice/impl/stream_buffer.ipp>
#include <sluice/impl/stream_error.ipp>
#include <sluice/impl/stream_reader.ipp>
#include <sluice/impl/stream_writer.ipp>
#include <sluice/impl/streams.ipp>
#include <sluice/impl/unix_streams.ipp>
