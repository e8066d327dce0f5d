// Connections to a server on 127.0.0.1 that are made faster than their address pairs become free.
#pragma once

#include "descriptor.hpp"

#include <cstdint>

namespace bench {

/// A closed connection keeps its address pair for a minute; 127.0.0.2, .3 ... give us enough pairs.
class SourceAddresses {
public:
    /// Begins to connect, from the next address, without waiting. Throws LoadError.
    Descriptor connect(std::uint16_t port);

private:
    std::uint32_t next_ = 0;
};

}  // namespace bench
