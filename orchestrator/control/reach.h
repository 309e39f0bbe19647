// Where an orchestrator is and how one shows who one is.
#pragma once

#include <string>

namespace katman {

struct Reach {
  std::string address = {};     // HOST:PORT
  std::string token_file = {};  // empty: nothing to show
  std::string ca_file = {};     // certificates to check the orchestrator's by; empty: no TLS
};

}  // namespace katman
