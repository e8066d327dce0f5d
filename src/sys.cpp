// The system calls. The only file that is left out when tests link a simulated system.
#include <sluice/impl/sys_accept.ipp>
#include <sluice/impl/sys_datagram.ipp>

#include <sluice/config.hpp>
#if SLUICE_HAS_EPOLL
#include <sluice/impl/sys_epoll.ipp>
#endif
#include <sluice/impl/sys_file.ipp>
#include <sluice/impl/sys_inherited.ipp>
#include <sluice/impl/sys_kernel_tls.ipp>
#include <sluice/impl/sys_pipes.ipp>
#include <sluice/impl/sys_posix.ipp>
#include <sluice/impl/sys_process.ipp>
#include <sluice/impl/sys_resolve.ipp>
#include <sluice/impl/sys_socket_calls.ipp>
#include <sluice/impl/sys_unix.ipp>
