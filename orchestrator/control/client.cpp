#include "orchestrator/control/client.h"

#include <grpcpp/grpcpp.h>
#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <random>

#include "core/error.h"
#include "core/host_name.h"
#include "orchestrator/control/channel.h"
#include "proto/control.grpc.pb.h"

namespace katman {
namespace {

constexpr std::chrono::seconds longest_call{10};

}  // namespace

struct Client::Parts {
  explicit Parts(const Reach& reach)
      : address(reach.address), channel(reach), stub(Control::NewStub(channel.grpc())) {}

  std::string address;
  Channel channel;
  std::unique_ptr<Control::Stub> stub;

  void check(const grpc::Status& status) const {
    if (status.ok()) return;
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE ||
        status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED)
      fail(
          "no orchestrator answers at {}; start one with `katman orchestrate`, or name another "
          "with --to HOST:PORT (one that uses TLS also needs --ca)",
          address);
    if (status.error_code() == grpc::StatusCode::INVALID_ARGUMENT)
      throw UsageError(status.error_message());
    throw Error(status.error_message());
  }

  template <class Reply, class Request>
  Reply call(grpc::Status (Control::Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
             const Request& request) {
    grpc::ClientContext context;
    channel.prepare(context);
    context.set_deadline(std::chrono::system_clock::now() + longest_call);
    Reply reply;
    check((*stub.*method)(&context, request, &reply));
    return reply;
  }
};

Client::Client(const Reach& reach) : parts_(std::make_unique<Parts>(reach)) {}

Client::~Client() = default;

RunView Client::submit(const SubmitRequest& request) {
  return parts_->call<RunView>(&Control::Stub::Submit, request);
}
RunPlan Client::plan(const SubmitRequest& request) {
  return parts_->call<RunPlan>(&Control::Stub::Plan, request);
}
RunDetails Client::details(const std::string& run) {
  ShowRequest request;
  request.set_run(run);
  return parts_->call<RunDetails>(&Control::Stub::Details, request);
}
RunList Client::list() { return parts_->call<RunList>(&Control::Stub::List, ListRequest()); }
RunView Client::show(const std::string& run) {
  ShowRequest request;
  request.set_run(run);
  return parts_->call<RunView>(&Control::Stub::Show, request);
}
CommandResult Client::command(const CommandRequest& request) {
  return parts_->call<CommandResult>(&Control::Stub::Command, request);
}
SeriesReply Client::series(const SeriesRequest& request) {
  return parts_->call<SeriesReply>(&Control::Stub::Series, request);
}
LogsReply Client::logs(const LogsRequest& request) {
  return parts_->call<LogsReply>(&Control::Stub::Logs, request);
}

void Client::watch(const WatchRequest& request, const std::function<bool(const Event&)>& each) {
  grpc::ClientContext context;
  parts_->channel.prepare(context);
  const auto events = parts_->stub->Watch(&context, request);
  Event event;
  while (events->Read(&event)) {
    if (each(event)) continue;
    context.TryCancel();
    return;
  }
  parts_->check(events->Finish());
}

std::string new_id() {
  std::random_device device;
  std::string id;
  for (int i = 0; i < 4; ++i) id += fmt::format("{:08x}", device());
  return id;
}

std::string who_am_i() {
  const passwd* user = getpwuid(geteuid());
  return fmt::format("{}@{}", user ? user->pw_name : std::to_string(geteuid()), host_name());
}

}  // namespace katman
