# The contract of docs/lifecycle.md, a case for each of its numbers.
sluice_test(lifecycle SOURCES lifecycle/lifecycle_test.cpp)
