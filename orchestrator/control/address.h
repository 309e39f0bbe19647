// Where the orchestrator may listen.
#pragma once

#include <string>

namespace katman {

struct Address {
  std::string host;
  int port = 0;
};

// "127.0.0.1", "localhost", "[::1]".
bool is_loopback(const std::string& host);

// Splits HOST:PORT. Throws UsageError for what is none, and, unless callers are told apart
// (`guarded`: TLS and tokens), for one that others can reach: whoever does could start and end
// runs.
Address listening_address(const std::string& listen, bool guarded);
inline Address loopback_address(const std::string& listen) {
  return listening_address(listen, false);
}

}  // namespace katman
