// Which file servers exist and how each is started over one folder of files. Knows no measurements.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace bench::files {

/// The name of the server that all ratios refer to.
inline constexpr std::string_view reference_server = "nginx";

struct FileServer {
    std::string name;
    std::string needs;  // what to do when it is not there
    std::vector<std::string> command;
    bool tls = false;
};

/// A temporary folder with the files to serve and room for what a server writes; gone with the object.
class ServedFolder {
public:
    /// Throws std::runtime_error or std::system_error saying what cannot be written.
    ServedFolder();
    ~ServedFolder();
    ServedFolder(const ServedFolder&) = delete;
    ServedFolder& operator=(const ServedFolder&) = delete;

    /// Writes a file with the bytes of the pattern, and gives its name in a request.
    std::string add_file(std::uint64_t bytes) const;

    [[nodiscard]] std::filesystem::path root() const { return place_ / "root"; }
    [[nodiscard]] std::filesystem::path prefix() const { return place_ / "prefix"; }
    [[nodiscard]] std::string pem_file() const { return (place_ / "server.pem").string(); }

private:
    std::filesystem::path place_;
};

/// All servers in the order of the tables, over TCP or over TLS. `nginx` is the program; empty: it is not there.
std::vector<FileServer> all_file_servers(const ServedFolder& folder, const std::string& nginx,
                                         bool tls);

/// The server's reason for not being there, or nothing: it is started once.
std::string reason_not_available(const FileServer& server, int core);

}  // namespace bench::files
