# The IOCP backend alone.
sluice_test(windows SOURCES windows/poller_test.cpp INTERNAL)
