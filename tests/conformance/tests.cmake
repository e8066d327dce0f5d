# The conformance suite: asyncio's transport semantics, numbered, in every column that conformance_cases() lists.
sluice_test(traces SOURCES conformance/traces_test.cpp)
sluice_test(conformance
            SOURCES conformance/construction_test.cpp conformance/reading_test.cpp
                    conformance/buffered_test.cpp conformance/eof_test.cpp
                    conformance/writing_test.cpp conformance/flow_control_test.cpp
                    conformance/closing_test.cpp conformance/protocol_switch_test.cpp
                    conformance/reliability_test.cpp
            TIMEOUT 120
)

# These count and break system calls: the linker sends every call of the named functions, the library's included,
# through tests/support/syscall_counter.cpp. INTERNAL, because a shared library's own calls cannot be wrapped.
sluice_test(gathering SOURCES conformance/gathering_test.cpp conformance/faults_test.cpp INTERNAL)
if(TARGET gathering_test)
    foreach(call send sendmsg recv epoll_wait epoll_ctl shutdown)
        target_link_options(gathering_test PRIVATE "LINKER:--wrap=${call}")
    endforeach()
endif()
