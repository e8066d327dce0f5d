# The target `docs`: the API reference in <build>/reference, made by Doxygen from the comments in the public headers. A
# warning is an error. The style is doxygen-awesome-css where the machine has it (Debian package of that name), else
# Doxygen's own; nothing is downloaded.
find_package(Doxygen 1.9.4 QUIET)
if(NOT DOXYGEN_FOUND)
    add_custom_target(
        docs
        COMMAND ${CMAKE_COMMAND} -E echo "The target docs needs Doxygen 1.9.4 or newer: cmake/setup.sh docs"
        COMMAND ${CMAKE_COMMAND} -E false
        VERBATIM
    )
    return()
endif()

find_file(
    SLUICE_DOCS_STYLE doxygen-awesome.css
    PATHS /usr/share/doxygen-awesome-css /usr/local/share/doxygen-awesome-css
    DOC "Style sheet of the API reference; empty for Doxygen's own"
)
mark_as_advanced(SLUICE_DOCS_STYLE)
set(SLUICE_DOCS_OUTPUT "${PROJECT_BINARY_DIR}/reference")

block()
    if(NOT SLUICE_DOCS_STYLE)
        set(SLUICE_DOCS_STYLE "")
    endif()
    configure_file("${PROJECT_SOURCE_DIR}/docs/Doxyfile.in" "${PROJECT_BINARY_DIR}/Doxyfile" @ONLY)
endblock()

# Made anew each time: Doxygen leaves pages of names that no longer exist.
add_custom_target(
    docs
    COMMAND ${CMAKE_COMMAND} -E rm -rf "${SLUICE_DOCS_OUTPUT}"
    COMMAND ${CMAKE_COMMAND} -E make_directory "${SLUICE_DOCS_OUTPUT}"
    COMMAND Doxygen::doxygen "${PROJECT_BINARY_DIR}/Doxyfile"
    COMMAND ${CMAKE_COMMAND} -E echo "The API reference: ${SLUICE_DOCS_OUTPUT}/index.html"
    VERBATIM
)
