"""The TLS context of the servers in Python."""

import ssl


def tls_context(options):
    # As for the servers in C++ (tls_support.hpp); Python's own defaults release idle buffers, too.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 1
    context.load_cert_chain(options.cert, options.key)
    return context
