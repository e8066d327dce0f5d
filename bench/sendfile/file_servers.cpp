// The list of file servers and what they serve: see file_servers.hpp.
#include "file_servers.hpp"

#include "../driver/catalogue.hpp"
#include "../driver/pattern.hpp"
#include "../driver/server_process.hpp"
#include "../driver/tls_certificate.hpp"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <unistd.h>

namespace bench::files {

namespace fs = std::filesystem;

namespace {

// Debian's own, because python3-aiohttp belongs to it, whatever python3 the PATH finds first.
constexpr const char* python = "/usr/bin/python3";

std::vector<std::string> script(const char* name) {
    return {python, std::string(SLUICE_BENCH_SOURCE_DIR "/rivals/") + name};
}

FileServer our_server(const char* name, const char* chunk_bytes) {
    return {name, "", {beside_us("file_server"), "--chunk", chunk_bytes}};
}

}  // namespace

ServedFolder::ServedFolder() {
    std::string name = (fs::temp_directory_path() / "sluice-bench-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
        throw std::system_error(errno, std::generic_category(), name);
    }
    place_ = name;
    fs::create_directory(root());
    fs::create_directory(prefix());
    make_tls_file(pem_file());
}

ServedFolder::~ServedFolder() {
    std::error_code ignored;
    fs::remove_all(place_, ignored);
}

std::string ServedFolder::add_file(std::uint64_t bytes) const {
    const std::string name = std::to_string(bytes) + ".bin";
    const Pattern pattern;
    std::ofstream file(root() / name, std::ios::binary);
    for (std::uint64_t done = 0; done < bytes;) {
        const auto piece = pattern.at(done, bytes - done);
        file.write(piece.data(), static_cast<std::streamsize>(piece.size()));
        done += piece.size();
    }
    file.close();
    if (!file) {
        throw std::runtime_error("cannot write " + (root() / name).string());
    }
    return "/" + name;
}

std::vector<FileServer> all_file_servers(const ServedFolder& folder, const std::string& nginx,
                                         bool tls) {
    FileServer nginx_server = {std::string(reference_server), "bench/rivals/fetch_nginx.sh",
                               script("nginx_files.py")};
    nginx_server.command.insert(nginx_server.command.end(),
                                {"--program", nginx, "--prefix", folder.prefix().string()});
    FileServer aiohttp_server = {"aiohttp", "Debian package python3-aiohttp",
                                 script("aiohttp_files.py")};

    std::vector<FileServer> servers = {nginx_server};
    if (!tls) {
        FileServer nopush = nginx_server;
        nopush.name = "nginx_nopush";
        nopush.command.insert(nopush.command.end(), {"--nopush", "on"});
        servers.push_back(nopush);
    }
    servers.push_back(our_server("sluice", "262144"));
    if (tls) {
        // Over TCP the kernel sends the file, and there are no chunks.
        servers.push_back(our_server("sluice_16k", "16384"));
    }
    servers.push_back(aiohttp_server);
    for (FileServer& server : servers) {
        const bool is_ours = server.name.starts_with("sluice");
        server.tls = tls;
        if (tls) {
            server.command.insert(server.command.end(), {"--tls", "on", "--cert", folder.pem_file(),
                                                         "--key", folder.pem_file()});
        }
        if (is_ours) {
            server.command.insert(server.command.end(), {folder.root().string(), "127.0.0.1", "0"});
        } else {
            server.command.insert(server.command.end(), {"--root", folder.root().string()});
        }
    }
    return servers;
}

std::string reason_not_available(const FileServer& server, int core) {
    const std::string hint = server.needs.empty() ? "" : " (" + server.needs + ")";
    if (access(server.command.front().c_str(), X_OK) != 0) {
        return "not built" + hint;
    }
    try {
        ServerProcess(server.command, {core}).stop();
        return "";
    } catch (const std::runtime_error& error) {
        return error.what() + hint;
    }
}

}  // namespace bench::files
