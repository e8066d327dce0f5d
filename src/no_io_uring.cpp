// What a build without SLUICE_IO_URING has in the place of io_uring.cpp and ring.cpp.
#include <sluice/impl/no_io_uring.ipp>
