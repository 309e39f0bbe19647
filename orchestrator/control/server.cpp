#include "orchestrator/control/server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/resource_quota.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/control/address.h"
#include "parallel/checkpoint/files.h"
#include "proto/control.grpc.pb.h"

namespace katman {
namespace {

constexpr int longest_message = 1 << 20;
constexpr int most_watchers = 64;  // each holds a thread
constexpr int most_threads = 256;
constexpr double calls_per_second = 1000, burst = 2000;  // of one caller

// "ipv4:10.0.0.7:41234" without the port, which changes with every connection.
std::string host_of(const std::string& peer) { return peer.substr(0, peer.rfind(':')); }

// Every call ends in a status with one sentence; none ends the orchestrator.
class Desk {
 public:
  explicit Desk(const Access& access) : access_(access) {}

  // `may`: what the caller's role has to allow. `call` learns who he is; empty where nobody shows.
  template <class Call>
  grpc::Status answer(const grpc::ServerContext& context, bool (Identity::*may)() const,
                      Call call) {
    Identity caller;
    if (!access_.open()) {
      const auto shown = context.client_metadata().find("authorization");
      const auto holder = shown == context.client_metadata().end()
                              ? std::nullopt
                              : access_.bearer({shown->second.data(), shown->second.size()});
      if (!holder)
        return {grpc::StatusCode::UNAUTHENTICATED,
                "this orchestrator wants a token that it knows: name its file with --token-file"};
      if (!((*holder).*may)())
        return {
            grpc::StatusCode::PERMISSION_DENIED,
            fmt::format("{} is a {}, who may not do that", holder->name, to_string(holder->role))};
      caller = *holder;
    }
    if (!limit_.allows(caller.name.empty() ? host_of(context.peer()) : caller.name))
      return {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many calls: ask less often"};
    return attempt([&] { call(caller); });
  }

 private:
  template <class Call>
  static grpc::Status attempt(Call call) try {
    call();
    return grpc::Status::OK;
  } catch (const UsageError& error) {
    return {grpc::StatusCode::INVALID_ARGUMENT, error.what()};
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    return {grpc::StatusCode::INTERNAL, error.what()};
  }

  const Access& access_;
  RateLimit limit_{calls_per_second, burst};
};

// Who did it, for the log of events: whose token it was, and who he says he is.
template <class Request>
Request signed_by(const Identity& caller, Request request) {
  if (!caller.name.empty())
    request.set_actor(request.actor().empty()
                          ? caller.name
                          : fmt::format("{} ({})", caller.name, request.actor()));
  return request;
}

class ControlService final : public Control::Service {
  using Context = grpc::ServerContext;

 public:
  ControlService(Orchestrator& orchestrator, Desk& desk, const std::atomic<bool>& over)
      : orchestrator_(orchestrator), desk_(desk), over_(over) {}

  grpc::Status Submit(Context* context, const SubmitRequest* request, RunView* run) override {
    return desk_.answer(*context, &Identity::may_command, [&](const Identity& caller) {
      *run = orchestrator_.submit(signed_by(caller, *request));
    });
  }
  grpc::Status Plan(Context* context, const SubmitRequest* request, RunPlan* plan) override {
    return desk_.answer(*context, &Identity::may_command,
                        [&](const Identity&) { *plan = orchestrator_.plan(*request); });
  }
  grpc::Status Command(Context* context, const CommandRequest* request,
                       CommandResult* result) override {
    return desk_.answer(*context, &Identity::may_command, [&](const Identity& caller) {
      *result = orchestrator_.command(signed_by(caller, *request));
    });
  }
  grpc::Status List(Context* context, const ListRequest*, RunList* list) override {
    return see(*context, [&] { *list = orchestrator_.list(); });
  }
  grpc::Status Show(Context* context, const ShowRequest* request, RunView* run) override {
    return see(*context, [&] { *run = orchestrator_.show(request->run()); });
  }
  grpc::Status Series(Context* context, const SeriesRequest* request, SeriesReply* reply) override {
    return see(*context, [&] { *reply = orchestrator_.series(*request); });
  }
  grpc::Status Logs(Context* context, const LogsRequest* request, LogsReply* reply) override {
    return see(*context, [&] { *reply = orchestrator_.logs(*request); });
  }
  grpc::Status Details(Context* context, const ShowRequest* request, RunDetails* details) override {
    return see(*context, [&] { *details = orchestrator_.details(request->run()); });
  }
  grpc::Status Watch(Context* context, const WatchRequest* request,
                     grpc::ServerWriter<Event>* events) override {
    return see(*context, [&] {
      const Place place(watchers_);
      require_usage(watchers_ <= most_watchers, "{} watch already; end one", most_watchers);
      WatchRequest from = *request;
      while (!over_ && !context->IsCancelled()) {
        const EventList news = orchestrator_.events(from);
        for (const Event& event : news.events()) {
          if (!events->Write(event)) return;
          from.set_after(event.seq());
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
    });
  }

 private:
  // One of a limited number.
  class Place {
   public:
    explicit Place(std::atomic<int>& taken) : taken_(taken) { ++taken_; }
    ~Place() { --taken_; }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    std::atomic<int>& taken_;
  };

  template <class Call>
  grpc::Status see(const Context& context, Call call) {
    return desk_.answer(context, &Identity::may_see, [&](const Identity&) { call(); });
  }

  Orchestrator& orchestrator_;
  Desk& desk_;
  const std::atomic<bool>& over_;
  std::atomic<int> watchers_ = 0;
};

class WorkersService final : public Workers::Service {
 public:
  WorkersService(Orchestrator& orchestrator, Desk& desk)
      : orchestrator_(orchestrator), desk_(desk) {}
  grpc::Status Report(grpc::ServerContext* context, const WorkerReport* report,
                      WorkerWishes* wishes) override {
    return desk_.answer(*context, &Identity::may_report,
                        [&](const Identity&) { *wishes = orchestrator_.report(*report); });
  }

 private:
  Orchestrator& orchestrator_;
  Desk& desk_;
};

std::shared_ptr<grpc::ServerCredentials> credentials(const Guard& guard) {
  if (!guard.has_tls()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back(
      {read_text(guard.tls_key), read_text(guard.tls_certificate)});
  return grpc::SslServerCredentials(options);
}

}  // namespace

struct Server::Parts {
  Parts(Orchestrator& orchestrator, const Access& access)
      : people(access),
        ranks(access),
        control(orchestrator, people, over),
        workers(orchestrator, ranks) {}
  std::atomic<bool> over = false;
  Desk people, ranks;  // many ranks must not keep people waiting, nor the other way round
  ControlService control;
  WorkersService workers;
  std::unique_ptr<grpc::Server> server;
};

Server::Server(Orchestrator& orchestrator, const std::string& listen, const Guard& guard)
    : parts_(std::make_unique<Parts>(orchestrator, guard.access)) {
  const Address address = listening_address(listen, guard.complete());
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(listen, credentials(guard), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // or two would share a port in silence
  builder.SetMaxReceiveMessageSize(longest_message);
  builder.SetResourceQuota(grpc::ResourceQuota("katman").SetMaxThreads(most_threads));
  builder.RegisterService(&parts_->control);
  builder.RegisterService(&parts_->workers);
  parts_->server = builder.BuildAndStart();
  require(parts_->server && port > 0,
          "cannot listen on {}: something else does (choose another port with --listen), or the "
          "certificate and its key do not fit",
          listen);
  address_ = fmt::format("{}:{}", address.host, port);
}

Server::~Server() {
  parts_->over = true;
  parts_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
}

}  // namespace katman
