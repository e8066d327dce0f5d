// The io_uring backend.
#include <sluice/impl/io_uring.ipp>
#include <sluice/impl/io_uring_accept.ipp>
#include <sluice/impl/io_uring_files.ipp>
#include <sluice/impl/io_uring_polls.ipp>
#include <sluice/impl/io_uring_streams.ipp>
#include <sluice/impl/send_batch.ipp>
