// The IOCP backend with its system calls.
#include <sluice/impl/iocp.ipp>
#include <sluice/impl/iocp_streams.ipp>
#include <sluice/impl/sys_iocp.ipp>
