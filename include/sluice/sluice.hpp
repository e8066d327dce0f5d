// Everything public.
#pragma once

#include <sluice/address.hpp>
#include <sluice/buffer.hpp>
#include <sluice/bytes.hpp>
#include <sluice/callback.hpp>
#include <sluice/config.hpp>
#include <sluice/connection.hpp>
#include <sluice/counters.hpp>
#include <sluice/descriptor.hpp>
#include <sluice/error.hpp>
#include <sluice/event_loop.hpp>
#include <sluice/exception_context.hpp>
#include <sluice/future.hpp>
#include <sluice/handle.hpp>
#include <sluice/limits.hpp>
#include <sluice/options.hpp>
#include <sluice/protocol.hpp>
#include <sluice/ref.hpp>
#include <sluice/remote_ref.hpp>
#include <sluice/server.hpp>
#include <sluice/sleep.hpp>
#include <sluice/task.hpp>
#include <sluice/tls.hpp>
#include <sluice/transport.hpp>
