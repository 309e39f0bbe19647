// What the dashboard answers, without a word about HTTP: parameters in, JSON out.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "orchestrator/control/orchestrator.h"
#include "orchestrator/dashboard/playground.h"
#include "orchestrator/dashboard/verifier.h"

namespace katman {

// The named values of a request; an empty one was not given.
using Parameters = std::function<std::string(const char* name)>;

// Any thread. Every call throws UsageError, in one sentence, for what cannot be.
class Api {
 public:
  explicit Api(Orchestrator& orchestrator);

  std::string runs();  // at most a second old
  std::string details(const Parameters&);
  std::string series(const Parameters&);
  std::string sparks();  // at most five seconds old
  std::string logs(const Parameters&);
  std::string timeline(const Parameters&);
  std::string ranks(const Parameters&);
  std::string batch(const Parameters&);
  std::string layout(const Parameters&);
  // The names of the builtin tasks; and question `number` of one behind so many `shots`.
  std::string tasks(const Parameters&);
  std::string question(const Parameters&);

  // who: whose token it is, which goes before what a body says; empty where nobody needs one.
  std::string check(const std::string& body, const std::string& who);
  std::string submit(const std::string& body, const std::string& who);
  std::string fork(const std::string& body, const std::string& who);
  std::string command(const std::string& body, const std::string& who);
  std::string verify(const std::string& body, const std::string& who);
  std::unique_ptr<Generation> generate(const std::string& body);

 private:
  // One answer for everybody who asks within `seconds`.
  struct Kept {
    std::mutex mutex;
    double made_at = 0;
    std::string text;
    template <class Make>
    std::string within(double seconds, Make make);
  };
  std::filesystem::path checkpoint(const std::string& run, uint64_t step);

  Orchestrator& orchestrator_;
  Verifier verifier_;
  Kept runs_, sparks_;
  std::atomic<int> generations_ = 0;
};

}  // namespace katman
