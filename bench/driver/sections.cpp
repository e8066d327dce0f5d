// The list of sections: see run.hpp and sections.hpp.
#include "sections.hpp"

namespace bench {

std::vector<Section> wanted_sections(const Options& options) {
    const Sections& wanted = options.sections;
    std::vector<Section> sections = {
        {wanted.echo || wanted.syscalls, echo_units, measure_echo},
        {wanted.threads, threads_units, measure_threads},
        {wanted.latency, latency_units, measure_latency},
        {wanted.bulk, bulk_units, measure_bulk},
        {wanted.writelines, writelines_units, measure_writelines},
        {wanted.accept, accept_units, measure_accept},
        {wanted.memory, memory_units, measure_memory},
        {wanted.tls, tls_units, measure_tls},
        {wanted.handshakes, handshake_units, measure_handshakes},
        {wanted.tls_memory, tls_memory_units, measure_tls_memory},
    };
    std::erase_if(sections, [](const Section& section) { return !section.wanted; });
    return sections;
}

}  // namespace bench
