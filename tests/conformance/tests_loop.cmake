# The loop, its coroutines, connecting and serving: groups M, N and T of asyncio's behaviour.
if(SLUICE_IO_URING)
    sluice_test(io_uring SOURCES conformance/io_uring_test.cpp conformance/completions_test.cpp)
    sluice_test(io_uring_sim SOURCES conformance/completions_sim_test.cpp conformance/ring_accept_sim_test.cpp
                conformance/ring_life_sim_test.cpp SIM)
    # A program of its own, because it replaces operator new.
    sluice_test(io_uring_memory SOURCES conformance/completions_memory_test.cpp SIM)
endif()
sluice_test(loop SOURCES conformance/loop_test.cpp conformance/loop_options_test.cpp conformance/timers_test.cpp
            conformance/threads_test.cpp conformance/descriptors_test.cpp conformance/outliving_test.cpp
)
sluice_test(counters SOURCES unit/counters_test.cpp)
sluice_test(processes SOURCES conformance/signals_test.cpp conformance/executor_test.cpp
            conformance/names_test.cpp conformance/shortage_test.cpp
)
if(LINUX)
    # The linker wraps calls, the library's included, as for gathering in tests.cmake.
    sluice_test(signal_handlers SOURCES conformance/signal_handlers_test.cpp INTERNAL)
    if(TARGET signal_handlers_test)
        target_link_options(signal_handlers_test PRIVATE "LINKER:--wrap=write" "LINKER:--wrap=sched_yield")
    endif()
endif()
sluice_test(pipes SOURCES conformance/read_pipe_test.cpp conformance/write_pipe_test.cpp
            conformance/terminal_test.cpp
)
sluice_test(socket_calls SOURCES conformance/socket_calls_test.cpp conformance/socket_cancel_test.cpp)
sluice_test(subprocess SOURCES conformance/subprocess_test.cpp)
sluice_test(pipes_sim SOURCES conformance/pipes_sim_test.cpp SIM)
sluice_test(connect SOURCES conformance/connect_test.cpp conformance/connect_failures_test.cpp
            conformance/arguments_test.cpp
)
sluice_test(server SOURCES conformance/server_test.cpp conformance/server_life_test.cpp
            conformance/accepting_test.cpp)
sluice_test(listen_fds SOURCES conformance/listen_fds_test.cpp)
# What a server on the open internet needs: time limits, PROXY headers, limits per address.
sluice_test(timeouts SOURCES conformance/timeouts_test.cpp TIMEOUT 120 KTLS "*_ktls_*")
sluice_test(proxy SOURCES conformance/proxy_test.cpp)
sluice_test(hardening_sim SOURCES conformance/timeouts_sim_test.cpp conformance/proxy_sim_test.cpp SIM)
sluice_test(task SOURCES conformance/task_test.cpp conformance/cancel_test.cpp conformance/future_test.cpp)
if(SLUICE_TEST_OPTIONS)
    # Destroying ten thousand coroutines that wait for each other nests as deeply: with a sanitizer and not optimised at all
    # that is more than a thread's stack.
    set_source_files_properties(
        conformance/task_test.cpp PROPERTIES COMPILE_OPTIONS -O1 SKIP_PRECOMPILE_HEADERS ON
    )
endif()
sluice_test(gcc12_coroutines SOURCES conformance/gcc12_coroutines_test.cpp)
sluice_test(connect_sim SOURCES conformance/connect_sim_test.cpp SIM)
# Structured coroutines.
sluice_test(structured SOURCES conformance/task_group_test.cpp conformance/timeout_test.cpp
            conformance/gather_test.cpp
)
# A program of its own, because it replaces operator new. INTERNAL, so that the library's allocations are counted, too.
sluice_test(structured_memory SOURCES conformance/structured_memory_test.cpp INTERNAL)
sluice_test(sync SOURCES conformance/sync_test.cpp conformance/queue_test.cpp)
sluice_test(jobs SOURCES conformance/job_scheduler_test.cpp conformance/run_test.cpp)
sluice_test(gcc12_structured SOURCES conformance/gcc12_structured_test.cpp)
# Unix sockets: group O.
sluice_test(unix SOURCES conformance/unix_test.cpp conformance/unix_server_test.cpp)
sluice_test(unix_sim SOURCES conformance/unix_sim_test.cpp SIM)
