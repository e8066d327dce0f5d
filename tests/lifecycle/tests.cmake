# The contract of docs/lifecycle.md, a case for each of its numbers.
sluice_test(lifecycle SOURCES lifecycle/lifecycle_test.cpp)
# By the size of the process, which sanitizers and coverage change themselves.
if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize|--coverage")
    sluice_test(soak SOURCES lifecycle/soak_test.cpp)
endif()
