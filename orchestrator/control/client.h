// The other end of the services: what `katman submit` and `katman runs` speak through.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "orchestrator/control/reach.h"
#include "proto/control.pb.h"

namespace katman {

// Every call throws UsageError for what the orchestrator refuses, and Error naming the address when
// it cannot be reached.
class Client {
 public:
  explicit Client(const Reach& reach);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  RunView submit(const SubmitRequest& request);
  RunPlan plan(const SubmitRequest& request);
  RunDetails details(const std::string& run);
  RunList list();
  RunView show(const std::string& run);
  CommandResult command(const CommandRequest& request);
  SeriesReply series(const SeriesRequest& request);
  LogsReply logs(const LogsRequest& request);
  // Until `each` returns false or the orchestrator ends.
  void watch(const WatchRequest& request, const std::function<bool(const Event&)>& each);

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// A name that no other request has: for SubmitRequest.id and CommandRequest.id.
std::string new_id();
// Who asks: the user's name and machine.
std::string who_am_i();

}  // namespace katman
