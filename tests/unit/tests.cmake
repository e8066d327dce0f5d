# Components of the library, each against its own header.
sluice_test(write_queue SOURCES unit/write_queue_test.cpp INTERNAL)
if(LINUX)
    # What becomes of SIGPIPE there.
    sluice_test(sys_file SOURCES unit/sys_file_test.cpp INTERNAL)
endif()
if(SLUICE_IO_URING)
    sluice_test(file_completions SOURCES unit/file_completions_test.cpp INTERNAL)
endif()
sluice_test(timer_heap SOURCES unit/timer_heap_test.cpp INTERNAL)
sluice_test(values SOURCES unit/error_test.cpp unit/address_test.cpp unit/buffer_test.cpp unit/callback_test.cpp
            unit/options_test.cpp unit/watermarks_test.cpp unit/intrusive_list_test.cpp
            unit/ref_test.cpp unit/warm_list_test.cpp INTERNAL
)
# What stands before a server: PROXY headers, address ranges, limits per address.
sluice_test(proxy_header SOURCES unit/proxy_header_test.cpp unit/address_limits_test.cpp INTERNAL)
sluice_test(bench_stats SOURCES unit/bench_stats_test.cpp)
# TLS contexts without sockets: two SSL objects joined by memory.
sluice_test(tls SOURCES unit/tls_context_test.cpp unit/tls_info_test.cpp
            unit/tls_server_name_test.cpp unit/tls_session_test.cpp
            unit/tls_verification_test.cpp unit/tls_pair.cpp INTERNAL
)
sluice_test(tls_engine SOURCES unit/tls_engine_test.cpp unit/record_opener_test.cpp unit/forger.cpp unit/tls_pair.cpp
            INTERNAL TIMEOUT 120)
if(LINUX AND TARGET tls_engine_test)
    # OpenSSL hands its keys over in the form of the Linux kernel, and only there.
    target_sources(tls_engine_test PRIVATE unit/record_sealer_test.cpp)
endif()
