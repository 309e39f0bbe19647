// The orchestrator on the network: the gRPC services of proto/control.proto.
#pragma once

#include <memory>
#include <string>

#include "orchestrator/control/access.h"
#include "orchestrator/control/orchestrator.h"

namespace katman {

class Server {
 public:
  // Listens on HOST:PORT (port 0: any that is free): on this machine's loopback, or with a complete
  // guard anywhere. Throws Error when the address is taken, UsageError when it is none. Both others
  // outlive this.
  Server(Orchestrator& orchestrator, const std::string& listen, const Guard& guard);
  ~Server();  // ends calls under way
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const std::string& address() const { return address_; }  // with the port that was taken

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
  std::string address_;
};

}  // namespace katman
