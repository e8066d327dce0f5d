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

# Cancellation against completion, at everything a task can wait for.
sluice_test(races SOURCES races/races_test.cpp races/race.cpp races/sync_races.cpp races/task_races.cpp
            races/stream_races.cpp SIM TIMEOUT 120)

set(scenarios torture/explore.cpp torture/scenarios.cpp torture/scenarios_connect.cpp torture/scenarios_file.cpp
              torture/scenarios_loop.cpp torture/scenarios_serve.cpp torture/scenarios_tls.cpp torture/scenarios_unix.cpp torture/scene.cpp
              torture/scenarios_datagram.cpp torture/scenarios_net.cpp torture/stage.cpp support/tls_pki.cpp support/tls_certificates.cpp
)
sluice_test(torture_calls SOURCES torture/system_call_test.cpp ${scenarios} SIM TIMEOUT 300)
# A program of its own, because it replaces operator new.
sluice_test(torture_memory SOURCES torture/allocation_test.cpp ${scenarios} SIM TIMEOUT 300)
