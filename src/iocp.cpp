// The IOCP backend with its system calls.
#include <sluice/impl/iocp.ipp>
#include <sluice/impl/iocp_accept.ipp>
#include <sluice/impl/iocp_sendfile.ipp>
#include <sluice/impl/iocp_streams.ipp>
#include <sluice/impl/sys_iocp.ipp>
#include <sluice/impl/sys_iocp_accept.ipp>
#include <sluice/impl/sys_iocp_sendfile.ipp>
