# The loop, its coroutines, connecting and serving: groups M, N and T of asyncio's behaviour.
sluice_test(loop SOURCES conformance/loop_test.cpp conformance/loop_options_test.cpp conformance/timers_test.cpp
            conformance/threads_test.cpp conformance/descriptors_test.cpp conformance/outliving_test.cpp
)
sluice_test(processes SOURCES conformance/signals_test.cpp conformance/executor_test.cpp
            conformance/names_test.cpp conformance/shortage_test.cpp
)
sluice_test(connect SOURCES conformance/connect_test.cpp conformance/connect_failures_test.cpp
            conformance/arguments_test.cpp
)
sluice_test(server SOURCES conformance/server_test.cpp conformance/server_life_test.cpp)
sluice_test(task SOURCES conformance/task_test.cpp conformance/cancel_test.cpp conformance/future_test.cpp)
sluice_test(gcc12_coroutines SOURCES conformance/gcc12_coroutines_test.cpp)
sluice_test(connect_sim SOURCES conformance/connect_sim_test.cpp SIM)
