// TLS in the kernel, where the system has it.
#pragma once

#if defined(__linux__)
#include <sluice/impl/sys_linux_tls.ipp>
#else
#include <sluice/impl/sys_no_kernel_tls.ipp>
#endif
