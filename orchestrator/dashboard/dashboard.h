// The orchestrator for people with a browser: one page, and the JSON that it lives on.
//
//   GET  /                 the page                     GET /healthz, /readyz, /metrics
//   (Prometheus) GET  /api/runs         RunList                      GET
//   /api/series?run=&name=&points= GET  /api/run?run=     one run: its view, its series' names, its
//   checkpoints, its timeline GET  /api/logs?run=&generation=                     GET /api/events
//   (server-sent, as they come) POST /api/submit       SubmitRequest                POST
//   /api/command  CommandRequest
//
// Bodies and answers are the messages of proto/control.proto in protobuf's JSON, so that the page,
// the command line and the wire cannot drift apart. An error is {"error": "one sentence"}.
#pragma once

#include <memory>
#include <string>

#include "orchestrator/control/orchestrator.h"

namespace katman {

class Dashboard {
 public:
  // Serves on HOST:PORT (port 0: any that is free), on this machine's loopback only. Throws Error
  // when the address is taken. The orchestrator outlives this.
  Dashboard(Orchestrator& orchestrator, const std::string& listen);
  ~Dashboard();  // ends what is under way
  Dashboard(const Dashboard&) = delete;
  Dashboard& operator=(const Dashboard&) = delete;

  const std::string& address() const { return address_; }  // with the port that was taken

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
  std::string address_;
};

}  // namespace katman
