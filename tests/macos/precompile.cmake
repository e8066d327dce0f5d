# A precompiled header for the examples: most of what they cost is reading <sluice/sluice.hpp>. compile.sh has it included
# when the project begins (CMAKE_PROJECT_sluice_INCLUDE), and it does its work when all targets are there.
function(sluice_precompile_examples)
    get_property(targets DIRECTORY "${PROJECT_SOURCE_DIR}/examples" PROPERTY BUILDSYSTEM_TARGETS)
    list(POP_FRONT targets first)
    target_precompile_headers(${first} PRIVATE <sluice/sluice.hpp>)
    # Without the time in it ccache knows it again.
    target_compile_options(${first} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
    foreach(target ${targets})
        target_precompile_headers(${target} REUSE_FROM ${first})
    endforeach()
endfunction()
cmake_language(DEFER CALL sluice_precompile_examples)
