#include "orchestrator/control/address.h"

#include <charconv>

#include "core/error.h"

namespace katman {

bool is_loopback(const std::string& host) {
  // Digits only: 127.example.com is somebody's name.
  return host == "localhost" || host == "[::1]" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

Address listening_address(const std::string& listen, bool guarded) {
  const size_t colon = listen.rfind(':');
  int port = -1;
  if (colon != std::string::npos && colon > 0)
    std::from_chars(listen.data() + colon + 1, listen.data() + listen.size(), port);
  require_usage(port >= 0 && port <= 65535,
                "cannot listen on '{}': write HOST:PORT, for example 127.0.0.1:7410", listen);
  Address address{listen.substr(0, colon), port};
  require_usage(guarded || is_loopback(address.host),
                "refusing to listen on {}: whoever reaches that address could start and end runs; "
                "give --tls-cert, --tls-key and --tokens, or listen on 127.0.0.1 and come through "
                "ssh -L {}:127.0.0.1:{}",
                listen, port, port);
  return address;
}

}  // namespace katman
