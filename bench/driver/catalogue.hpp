// Which servers exist and how each is started. Adding a rival means adding a row here. Knows no measurements.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bench {

struct ServerVariant {
    unsigned threads = 1;
    bool sink = false;    // reads and drops in place of echoing
    bool pieces = false;  // gives the answer to the library in small pieces
};

struct Server {
    std::string name;
    std::string needs;  // what to install when the program is missing; empty for our own
    std::vector<std::string> command;
    bool many_loops = true;  // can run several loops over one port in one process
    std::vector<std::string> pieces_command = {};  // empty: the same program does that, too
    bool echo_only =
        false;  // in everything else the same as a server that is measured anyway, or reads only lines

    /// The command line for one variant.
    std::vector<std::string> command_for(const ServerVariant& variant) const;
};

/// The name of the server that all ratios refer to.
inline constexpr std::string_view reference_server = "raw_epoll";

/// All servers in the order of tables and charts. `backend` is passed to ours when it is not empty.
std::vector<Server> all_servers(const std::string& backend);

/// All servers as they speak TLS, with the certificate and key in `pem_file`. Their names are those of all_servers() and
/// mean the same library; the reference is there once more, tuned for large and for many small messages.
std::vector<Server> all_tls_servers(const std::string& backend, const std::string& pem_file);

/// A file's path in the folder of the programs.
std::string beside_us(const std::string& file);

/// The server's reason for not being there, or nothing: its files are looked for and it is started once.
std::string reason_not_available(const Server& server, const std::vector<int>& cores);

}  // namespace bench
