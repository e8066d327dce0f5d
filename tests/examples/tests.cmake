# Programs as users meet them: each example run by itself, and our echo servers with clients that others wrote. One
# CTest test per class of the two scripts, whose test_ functions are the cases.
# The system's own Python, which cmake/setup.sh installs, rather than one that a shell's PATH happens to show.
find_program(SLUICE_PYTHON python3 HINTS /usr/bin REQUIRED)
mark_as_advanced(SLUICE_PYTHON)

# process_test(<name> <label> <script> <class> <environment variable and its value>)
function(process_test name label script class environment)
    # -B: no compiled copies in the source tree.
    add_test(
        NAME ${name}
        COMMAND
            "${SLUICE_PYTHON}" -B "${CMAKE_CURRENT_SOURCE_DIR}/${script}" --verbose ${class}
    )
    set_tests_properties(
        ${name} PROPERTIES LABELS ${label} TIMEOUT 240 ENVIRONMENT "${environment}"
    )
endfunction()

if(SLUICE_BUILD_EXAMPLES)
    set(folder "SLUICE_EXAMPLES=$<TARGET_FILE_DIR:example_echo_server>")
    foreach(class EchoServer EchoClient Chat TcpProxy GracefulShutdown MultiLoopServer SlowReader
                  Lines Reconnect Worker JobQueue StructuredCrawler
    )
        process_test(examples.${class} examples examples/examples_test.py ${class} "${folder}")
    endforeach()
    process_test(
        examples.StdinChat examples examples/pipes_examples_test.py StdinChat "${folder}"
    )
    foreach(class UdpEcho UdpBlast)
        process_test(examples.${class} examples examples/udp_examples_test.py ${class} "${folder}")
    endforeach()
    process_test(
        examples.UnixEcho examples examples/unix_examples_test.py UnixEcho "${folder}"
    )
    foreach(class BehindProxy SocketActivated)
        process_test(examples.${class} examples examples/hardening_examples_test.py ${class} "${folder}")
    endforeach()
    foreach(class CoroutineEcho HttpGet TlsChat)
        process_test(examples.${class} examples examples/stream_examples_test.py ${class} "${folder}")
    endforeach()
    foreach(class TlsEchoServer TlsEchoClient HttpsGet StartTls MutualTls CertReload)
        process_test(examples.${class} examples examples/tls_examples_test.py ${class} "${folder}")
    endforeach()
    foreach(class CurlOverTcp CurlOverTls ChunksOverTls AskingForTheKernel Load LoadOverTls)
        process_test(
            examples.FileServer.${class} examples examples/file_server_test.py ${class} "${folder}"
        )
    endforeach()
    process_test(
        examples.FileServer.Raw examples examples/file_server_raw_test.py Raw "${folder}"
    )
    # One core for the server, one for the load.
    set_tests_properties(
        examples.FileServer.Load examples.FileServer.LoadOverTls PROPERTIES PROCESSORS 2
    )
    # What it decides, as functions.
    sluice_test(file_server SOURCES examples/http_request_test.cpp examples/http_fields_test.cpp
                examples/http_answer_test.cpp
    )
    target_link_libraries(file_server_test PRIVATE example_file_server_parts)
    if(TARGET example_counters)
        process_test(examples.Counters examples examples/examples_test.py Counters "${folder}")
    endif()
    set(server_example "$<TARGET_FILE:example_echo_server> 127.0.0.1 0")
endif()

# The benchmark's server is declared after the tests, so its option has to say whether it will be there.
if(SLUICE_BUILD_BENCH)
    set(server_simple "$<TARGET_FILE:bench_echo_server> --protocol simple")
    set(server_buffered "$<TARGET_FILE:bench_echo_server> --protocol buffered")
    set(server_threads "$<TARGET_FILE:bench_echo_server> --threads 2")
endif()

foreach(server example simple buffered threads)
    if(NOT DEFINED server_${server})
        continue()
    endif()
    foreach(client Socat Netcat Asyncio ThousandConnections)
        process_test(
            interop.${server}.${client} interop interop/interop_test.py ${client}
            "SLUICE_ECHO_SERVER=${server_${server}}"
        )
    endforeach()
    # One core for the server, one for the clients.
    set_tests_properties(interop.${server}.ThousandConnections PROPERTIES PROCESSORS 2)
endforeach()

# Our TLS with other implementations, as client and as server.
sluice_add_executable(interop_tls_peer interop/tls_peer.cpp)
set_target_properties(interop_tls_peer PROPERTIES OUTPUT_NAME tls_peer)
target_link_libraries(interop_tls_peer PRIVATE ${sluice_flavour})
foreach(peer OpenSslClient OpenSslServer GnuTlsClient GnuTlsServer Curl PythonClient)
    process_test(
        interop.tls.${peer} interop interop/tls_interop_test.py ${peer}
        "SLUICE_TLS_PEER=$<TARGET_FILE:interop_tls_peer>"
    )
endforeach()

if(SLUICE_BUILD_BENCH)
    process_test(
        bench.Driver bench examples/bench_test.py Driver
        "SLUICE_BENCH=$<TARGET_FILE_DIR:bench_echo>;SLUICE_CHART=${PROJECT_SOURCE_DIR}/bench/chart.py"
    )
    process_test(
        bench.Files bench examples/bench_test.py Files "SLUICE_BENCH=$<TARGET_FILE_DIR:bench_echo>"
    )
    process_test(
        bench.Datagrams bench examples/bench_test.py Datagrams
        "SLUICE_BENCH=$<TARGET_FILE_DIR:bench_echo>"
    )
    # They pin their processes to cores of their own and need them for themselves.
    set_tests_properties(bench.Driver bench.Files bench.Datagrams PROPERTIES PROCESSORS 2)
endif()

add_test(
    NAME tree.snippets
    COMMAND
        bash "${CMAKE_CURRENT_SOURCE_DIR}/tools/check_snippets.sh" "${PROJECT_SOURCE_DIR}"
)
set_tests_properties(tree.snippets PROPERTIES LABELS tree TIMEOUT 30)
