# The fuzz targets, where the preset has what they need: clang's libFuzzer and AddressSanitizer. What is fuzzed is compiled
# into its target, so that the instrumentation reaches it; the short runs are tests.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CMAKE_CXX_FLAGS MATCHES "fsanitize=[a-z,]*address")
    # sluice_fuzz(<name> <seconds> <file>...)
    function(sluice_fuzz name seconds)
        set(target ${name}_fuzz)
        add_executable(${target} fuzz/${target}.cpp ${ARGN})
        target_include_directories(
            ${target} PRIVATE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/tests"
        )
        target_compile_features(${target} PRIVATE cxx_std_20)
        target_compile_definitions(${target} PRIVATE SLUICE_HEADER_ONLY=1)
        target_compile_options(${target} PRIVATE -fsanitize=fuzzer)
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
        target_link_libraries(${target} PRIVATE OpenSSL::SSL Threads::Threads)
        set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
        sluice_warnings(${target})
        # New inputs stay in the build folder; the tree's corpus is only read.
        add_test(
            NAME fuzz.${name}
            COMMAND bash "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/run.sh" --target ${name} --seconds
                    ${seconds} --program $<TARGET_FILE:${target}>
        )
        set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 90)
    endfunction()

    sluice_fuzz(tls_engine 20 support/tls_pki.cpp support/tls_certificates.cpp)
    sluice_fuzz(proxy_header 10)
    set(file_server "${PROJECT_SOURCE_DIR}/examples/file_server")
    sluice_fuzz(
        http_request 10 "${file_server}/http_request.cpp" "${file_server}/http_fields.cpp"
        "${file_server}/answer.cpp"
    )
endif()
