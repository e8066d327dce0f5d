# TLS beyond what the conformance suite's TLS columns show: handshakes, data and ending, start_tls, abuse. INTERNAL for
# tests/support/openssl_counts.cpp, which must be linked into the program before OpenSSL is first used.
sluice_test(tls_conformance SOURCES conformance/tls_handshake_test.cpp conformance/tls_handshake_failures_test.cpp
            conformance/tls_data_test.cpp conformance/tls_ending_test.cpp conformance/start_tls_test.cpp
            conformance/tls_mangle_test.cpp conformance/tls_abuse_test.cpp INTERNAL TIMEOUT 120)

# Kernel TLS, which most machines' kernels have not: there the cases show what happens instead.
sluice_test(ktls SOURCES conformance/ktls_test.cpp INTERNAL TIMEOUT 120 KTLS "*")
