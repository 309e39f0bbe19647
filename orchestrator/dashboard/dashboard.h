// The orchestrator for people with a browser: a page, and the JSON that it lives on.
//
//   GET  /                       the page and its files          GET  /healthz, /readyz, /metrics
//   POST /api/login              {token}: sets the cookie that a browser shows from then on
//   GET  /api/runs               RunList
//   GET  /api/run?run=           RunDetails of one run
//   GET  /api/series?run=&names=&from=&to=&points=   columns of several series (views.h)
//   GET  /api/sparks             the loss of every run in a few points
//   GET  /api/logs?run=&generation=&contains=&bytes=
//   GET  /api/events             server-sent, as they come; the list of runs once a second
//   GET  /api/timeline?run=, /api/ranks?run=, /api/batch?run=&step=&first=&count=   (views.h)
//   GET  /api/layout?run=&step=&name=&tp=&dp=&pp=&schedule=   what going on there would do
//   POST /api/check, /api/submit    SubmitRequest
//   POST /api/fork                  {id, run, step, name, tp, dp, pp, schedule}: a run from there
//   POST /api/command               CommandRequest
//   POST /api/verify                {run, step}
//   POST /api/generate              {run, step, prompt, ...}: {"text"} lines as they come
//
// Bodies and answers are the messages of proto/control.proto in protobuf's JSON where there is one,
// so that the page, the command line and the wire cannot drift apart. An error is
// {"error": "one sentence"}.
#pragma once

#include <memory>
#include <string>

#include "orchestrator/control/access.h"
#include "orchestrator/control/orchestrator.h"

namespace katman {

class Dashboard {
 public:
  // Serves on HOST:PORT (port 0: any that is free): on this machine's loopback, or with a complete
  // guard anywhere. Where tokens are known, everything but the page's own files and the health
  // wants one: a viewer's to see, an operator's to do. Throws Error when the address is taken or a
  // certificate cannot be used. The orchestrator outlives this.
  Dashboard(Orchestrator& orchestrator, const std::string& listen, const Guard& guard = {});
  ~Dashboard();  // ends what is under way
  Dashboard(const Dashboard&) = delete;
  Dashboard& operator=(const Dashboard&) = delete;

  const std::string& address() const { return address_; }  // with the port that was taken
  std::string url() const { return (tls_ ? "https://" : "http://") + address_ + "/"; }

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
  std::string address_;
  bool tls_ = false;
};

}  // namespace katman
