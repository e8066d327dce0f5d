# Streams: group S of asyncio's behaviour.
sluice_test(streams SOURCES conformance/stream_reader_test.cpp conformance/stream_separators_test.cpp
            conformance/streams_test.cpp conformance/streams_server_test.cpp
            conformance/streams_upgrade_test.cpp TIMEOUT 120 KTLS "*_ktls_*" IO_URING "*/Serving.*:Only/*")
sluice_test(gcc12_streams SOURCES conformance/gcc12_streams_test.cpp)
# A program of its own, because it replaces operator new. INTERNAL, because it looks at the buffer.
sluice_test(streams_memory SOURCES conformance/streams_memory_test.cpp INTERNAL)
sluice_test(streams_sim SOURCES conformance/streams_sim_test.cpp SIM)
