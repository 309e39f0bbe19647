// The way to an orchestrator, for people and for workers.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "orchestrator/control/reach.h"

namespace katman {

// One connection. Throws UsageError for files that cannot be read, and for a token that would
// travel readable by others: off loopback it needs a certificate to check the orchestrator by.
class Channel {
 public:
  explicit Channel(const Reach& reach);
  const std::shared_ptr<grpc::Channel>& grpc() const { return channel_; }
  // Shows the token, where there is one.
  void prepare(grpc::ClientContext& context) const;

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::string authorization_;
};

}  // namespace katman
