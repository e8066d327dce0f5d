// The kqueue backend.
#include <sluice/impl/kqueue.ipp>
