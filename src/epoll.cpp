// The epoll backend.
#include <sluice/impl/epoll.ipp>
