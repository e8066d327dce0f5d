# The simulation and the torture, both on the simulated system calls. The program of the simulation has its own main
# function, because tests/simulate.sh gives it options.
sluice_test(simulation
            SOURCES simulation/main.cpp simulation/seeds_test.cpp simulation/describe.cpp
                    simulation/generate.cpp simulation/library_end.cpp
                    simulation/library_end_actions.cpp simulation/library_end_file.cpp simulation/protocols.cpp
                    simulation/raw_end.cpp simulation/runner.cpp simulation/shrink.cpp
                    simulation/world.cpp simulation/world_end.cpp
            SIM TIMEOUT 300
)

set(scenarios torture/explore.cpp torture/scenarios.cpp torture/scenarios_connect.cpp torture/scenarios_file.cpp
              torture/scenarios_loop.cpp torture/scenarios_serve.cpp torture/scenarios_tls.cpp torture/scene.cpp
              torture/stage.cpp support/tls_pki.cpp support/tls_certificates.cpp
)
sluice_test(torture_calls SOURCES torture/system_call_test.cpp ${scenarios} SIM TIMEOUT 300)
# A program of its own, because it replaces operator new.
sluice_test(torture_memory SOURCES torture/allocation_test.cpp ${scenarios} SIM TIMEOUT 300)
# The runtime of clang's ThreadSanitizer has an operator new that a program can only replace when the runtime is shared.
if(TARGET torture_memory_test AND CMAKE_CXX_FLAGS MATCHES "-fsanitize=thread"
   AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang"
)
    execute_process(
        COMMAND "${CMAKE_CXX_COMPILER}" -print-resource-dir
        OUTPUT_VARIABLE resources
        OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY
    )
    target_link_options(torture_memory_test PRIVATE -shared-libsan "LINKER:-rpath,${resources}/lib/linux")
endif()
