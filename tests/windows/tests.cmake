# The IOCP backend alone, and what else only Windows has.
sluice_test(windows SOURCES windows/poller_test.cpp windows/roots_test.cpp INTERNAL)
