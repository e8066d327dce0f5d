// The ring over liburing. The only file with liburing: a fake ring replaces exactly that one.
#include <sluice/impl/ring.ipp>
