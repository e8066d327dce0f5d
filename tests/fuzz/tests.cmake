# The fuzz target of the TLS engine, where the preset has what it needs: clang's libFuzzer and AddressSanitizer. The
# library is compiled into it, so that its instrumentation reaches the library; the short run is a test.
if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CMAKE_CXX_FLAGS MATCHES "fsanitize=[a-z,]*address")
    add_executable(tls_engine_fuzz fuzz/tls_engine_fuzz.cpp support/tls_pki.cpp support/tls_certificates.cpp)
    target_include_directories(
        tls_engine_fuzz PRIVATE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/tests"
    )
    target_compile_features(tls_engine_fuzz PRIVATE cxx_std_20)
    target_compile_definitions(tls_engine_fuzz PRIVATE SLUICE_HEADER_ONLY=1)
    target_compile_options(tls_engine_fuzz PRIVATE -fsanitize=fuzzer)
    target_link_options(tls_engine_fuzz PRIVATE -fsanitize=fuzzer)
    target_link_libraries(tls_engine_fuzz PRIVATE OpenSSL::SSL Threads::Threads)
    set_target_properties(tls_engine_fuzz PROPERTIES CXX_EXTENSIONS OFF)
    sluice_warnings(tls_engine_fuzz)
    # New inputs stay in the build folder; the tree's corpus is only read.
    add_test(
        NAME fuzz.tls_engine
        COMMAND bash "${CMAKE_CURRENT_SOURCE_DIR}/fuzz/run.sh" --seconds 20 --program
                $<TARGET_FILE:tls_engine_fuzz>
    )
    set_tests_properties(fuzz.tls_engine PROPERTIES LABELS fuzz TIMEOUT 90)
endif()
