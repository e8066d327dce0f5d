// The system calls of the kqueue backend, on systems that have them. Left out when tests link a simulated system.
#include <sluice/impl/sys_kqueue.ipp>
