# The conformance suite: asyncio's transport semantics, numbered, in every column that conformance_cases() lists.
sluice_test(traces SOURCES conformance/traces_test.cpp)
sluice_test(conformance
            SOURCES conformance/construction_test.cpp conformance/reading_test.cpp
                    conformance/buffered_test.cpp conformance/eof_test.cpp
                    conformance/writing_test.cpp conformance/flow_control_test.cpp
                    conformance/closing_test.cpp conformance/protocol_switch_test.cpp
                    conformance/reliability_test.cpp
            TIMEOUT 120 KTLS "*_ktls_*"
)

# Files, wherever they are sent.
sluice_test(sendfile SOURCES conformance/sendfile_test.cpp conformance/sendfile_ending_test.cpp TIMEOUT 120
            KTLS "*_ktls_*")

sluice_test(sendfile_sim SOURCES conformance/sendfile_sim_test.cpp torture/stage.cpp torture/scene.cpp
            support/tls_pki.cpp support/tls_certificates.cpp SIM)

# These count and break system calls: the linker sends every call of the named functions, the library's included,
# through tests/support/syscall_counter.cpp, which the linkers of other systems cannot. INTERNAL, because a shared library's
# own calls cannot be wrapped.
if(LINUX)
    sluice_test(gathering SOURCES conformance/gathering_test.cpp conformance/faults_test.cpp INTERNAL)
    sluice_test(sendfile_faults SOURCES conformance/sendfile_faults_test.cpp INTERNAL)
endif()
foreach(target gathering_test sendfile_faults_test)
    if(TARGET ${target})
        foreach(call send sendmsg recv epoll_wait epoll_pwait2 epoll_ctl shutdown sendfile preadv2 pread)
            target_link_options(${target} PRIVATE "LINKER:--wrap=${call}")
        endforeach()
    endif()
endforeach()

# Datagrams: group P, over UDP and Unix sockets.
sluice_test(datagram SOURCES conformance/datagram_test.cpp conformance/datagram_options_test.cpp
            conformance/datagram_flow_test.cpp IO_URING "*")
sluice_test(datagram_memory SOURCES conformance/datagram_memory_test.cpp)
sluice_test(datagram_sim SOURCES conformance/datagram_sim_test.cpp SIM)
