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

// Splits HOST:PORT. Throws UsageError for what is none, and for one that others can reach: whoever
// does could start and end runs.
Address loopback_address(const std::string& listen);

}  // namespace katman
