#include "orchestrator/train_here.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/control/client.h"
#include "orchestrator/control/orchestrator.h"
#include "orchestrator/control/server.h"
#include "orchestrator/dashboard/dashboard.h"
#include "orchestrator/launch/attached.h"
#include "orchestrator/signals.h"

namespace katman {
namespace {

constexpr std::chrono::milliseconds look_every{50};
constexpr const char* usual_dashboard = "127.0.0.1:7411";

// On another layout, it may use all of this machine.
int slots_for(const RunSpec& spec) {
  return std::max(Job{.spec = spec}.ranks(), static_cast<int>(std::thread::hardware_concurrency()));
}

OrchestratorOptions options_of(const RunSpec& spec) {
  OrchestratorOptions options;
  options.data = std::filesystem::path(spec.directory()) / "orchestrator";
  options.policy.slots = slots_for(spec);
  options.look_every = look_every;
  options.embedded = true;
  return options;
}

std::unique_ptr<Dashboard> open_dashboard(Orchestrator& orchestrator, const std::string& wanted) {
  if (wanted == "off") return nullptr;
  if (!wanted.empty()) return std::make_unique<Dashboard>(orchestrator, wanted);
  try {
    return std::make_unique<Dashboard>(orchestrator, usual_dashboard);
  } catch (const UsageError&) {
    throw;
  } catch (const Error&) {  // another run has it
    return std::make_unique<Dashboard>(orchestrator, "127.0.0.1:0");
  }
}

// The run from its first process to its last.
class Training {
 public:
  Training(const RunSpec& spec, const std::string& dashboard)
      : Training(spec, dashboard, std::make_unique<AttachedLauncher>(slots_for(spec))) {}

  void to_the_end() {
    while (!is_over(orchestrator_.show(name_))) {
      if (signals_.requested() && !told_) stop();
      std::this_thread::sleep_for(look_every);
    }
    conclude(orchestrator_.show(name_));
  }

 private:
  Training(const RunSpec& spec, const std::string& dashboard,
           std::unique_ptr<AttachedLauncher> launcher)
      : name_(spec.name()),
        ranks_(*launcher),
        orchestrator_(options_of(spec), one(std::move(launcher))),
        server_(orchestrator_, "127.0.0.1:0", guard_),
        dashboard_(open_dashboard(orchestrator_, dashboard)) {
    if (dashboard_)
      spdlog::info("dashboard: http://{}/, or katman runs --to {}", dashboard_->address(),
                   server_.address());
    orchestrator_.start({.address = server_.address()});
    orchestrator_.adopt(spec, isatty(STDERR_FILENO) != 0);
  }

  static std::vector<std::unique_ptr<Launcher>> one(std::unique_ptr<Launcher> launcher) {
    std::vector<std::unique_ptr<Launcher>> launchers;
    launchers.push_back(std::move(launcher));
    return launchers;
  }

  // The ranks hear it at once; the orchestrator, so that it does not start them again.
  void stop() {
    told_ = true;
    CommandRequest request;
    request.set_id(new_id());
    request.set_run(name_);
    request.set_verb(STOP_RUN);
    request.set_actor(who_am_i());
    request.set_reason("a signal");
    orchestrator_.command(request);
    ranks_.ask_to_leave();
  }

  bool is_over(const RunView& run) {
    if (run.version() != seen_ && run.state() == RunView::PAUSED)
      spdlog::info("paused {}; resume it where it was paused, or end this with Ctrl-C", run.why());
    seen_ = run.version();
    return run.state() == RunView::COMPLETED || run.state() == RunView::STOPPED ||
           run.state() == RunView::FAILED || run.state() == RunView::ATTENTION;
  }

  void conclude(const RunView& run) const {
    if (run.state() == RunView::FAILED && ranks_.status() == 2)
      throw UsageError("the ranks refused the run; they say why above");
    require(run.state() != RunView::FAILED && run.state() != RunView::ATTENTION, "{}: {}",
            to_string(run.state()), run.why());
  }

  const std::string name_;
  const StopSignals signals_;
  const Guard guard_;
  AttachedLauncher& ranks_;
  Orchestrator orchestrator_;
  Server server_;
  std::unique_ptr<Dashboard> dashboard_;
  bool told_ = false;
  uint64_t seen_ = 0;
};

}  // namespace

void train_here(const RunSpec& spec, const std::string& dashboard) {
  Training(spec, dashboard).to_the_end();
}

}  // namespace katman
