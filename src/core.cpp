// Layer 1 and what runs on it: the loop core, dispatch, scheduled callbacks, tasks.
#include <sluice/impl/completion.ipp>
#include <sluice/impl/dispatch.ipp>
#include <sluice/impl/handle.ipp>
#include <sluice/impl/loop_core.ipp>
#include <sluice/impl/remote_ref.ipp>
#include <sluice/impl/task.ipp>
#include <sluice/impl/transport_extras.ipp>
#include <sluice/impl/unawaited.ipp>
