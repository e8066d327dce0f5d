// The system calls of Windows, where sys.cpp has those of POSIX.
#include <sluice/impl/sys_windows.ipp>
#include <sluice/impl/sys_windows_absent.ipp>
#include <sluice/impl/sys_windows_calls.ipp>
#include <sluice/impl/sys_windows_datagram.ipp>
#include <sluice/impl/sys_windows_error.ipp>
#include <sluice/impl/sys_windows_file.ipp>
#include <sluice/impl/sys_windows_resolve.ipp>
#include <sluice/impl/sys_windows_roots.ipp>
#include <sluice/impl/sys_windows_signals.ipp>
