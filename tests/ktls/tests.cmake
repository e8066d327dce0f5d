# What runs under a kernel with TLS beside the tests that say KTLS elsewhere: the guard that the guest is what the others
# take it for. INTERNAL, because it does not touch the library.
if(LINUX)
    sluice_test(ktls_kernel SOURCES ktls/kernel_test.cpp INTERNAL KTLS "*")
endif()
