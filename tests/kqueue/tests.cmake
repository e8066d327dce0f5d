# The kqueue backend over the emulation, and the emulation itself where it is subtle.
sluice_test(kqueue SOURCES kqueue/emulation_test.cpp kqueue/poller_test.cpp INTERNAL)
target_include_directories(kqueue_test SYSTEM PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/kqueue")
