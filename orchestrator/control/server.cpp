#include "orchestrator/control/server.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/control/address.h"
#include "proto/control.grpc.pb.h"

namespace katman {
namespace {

constexpr int longest_message = 1 << 20;

// Every call ends in a status with one sentence; none ends the orchestrator.
template <class Call>
grpc::Status answer(Call call) try {
  call();
  return grpc::Status::OK;
} catch (const UsageError& error) {
  return {grpc::StatusCode::INVALID_ARGUMENT, error.what()};
} catch (const std::exception& error) {
  spdlog::error("{}", error.what());
  return {grpc::StatusCode::INTERNAL, error.what()};
}

class ControlService final : public Control::Service {
 public:
  ControlService(Orchestrator& orchestrator, const std::atomic<bool>& over)
      : orchestrator_(orchestrator), over_(over) {}

  grpc::Status Submit(grpc::ServerContext*, const SubmitRequest* request, RunView* run) override {
    return answer([&] { *run = orchestrator_.submit(*request); });
  }
  grpc::Status List(grpc::ServerContext*, const ListRequest*, RunList* list) override {
    return answer([&] { *list = orchestrator_.list(); });
  }
  grpc::Status Show(grpc::ServerContext*, const ShowRequest* request, RunView* run) override {
    return answer([&] { *run = orchestrator_.show(request->run()); });
  }
  grpc::Status Command(grpc::ServerContext*, const CommandRequest* request,
                       CommandResult* result) override {
    return answer([&] { *result = orchestrator_.command(*request); });
  }
  grpc::Status Series(grpc::ServerContext*, const SeriesRequest* request,
                      SeriesReply* reply) override {
    return answer([&] { *reply = orchestrator_.series(*request); });
  }
  grpc::Status Logs(grpc::ServerContext*, const LogsRequest* request, LogsReply* reply) override {
    return answer([&] { *reply = orchestrator_.logs(*request); });
  }
  grpc::Status Details(grpc::ServerContext*, const ShowRequest* request,
                       RunDetails* details) override {
    return answer([&] { *details = orchestrator_.details(request->run()); });
  }
  grpc::Status Watch(grpc::ServerContext* context, const WatchRequest* request,
                     grpc::ServerWriter<Event>* events) override {
    return answer([&] {
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
  Orchestrator& orchestrator_;
  const std::atomic<bool>& over_;
};

class WorkersService final : public Workers::Service {
 public:
  explicit WorkersService(Orchestrator& orchestrator) : orchestrator_(orchestrator) {}
  grpc::Status Report(grpc::ServerContext*, const WorkerReport* report,
                      WorkerWishes* wishes) override {
    return answer([&] { *wishes = orchestrator_.report(*report); });
  }

 private:
  Orchestrator& orchestrator_;
};

}  // namespace

struct Server::Parts {
  explicit Parts(Orchestrator& orchestrator) : control(orchestrator, over), workers(orchestrator) {}
  std::atomic<bool> over = false;
  ControlService control;
  WorkersService workers;
  std::unique_ptr<grpc::Server> server;
};

Server::Server(Orchestrator& orchestrator, const std::string& listen)
    : parts_(std::make_unique<Parts>(orchestrator)) {
  const Address address = loopback_address(listen);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // or two would share a port in silence
  builder.SetMaxReceiveMessageSize(longest_message);
  builder.RegisterService(&parts_->control);
  builder.RegisterService(&parts_->workers);
  parts_->server = builder.BuildAndStart();
  require(parts_->server && port > 0,
          "cannot listen on {}: something else does; choose another port with --listen", listen);
  address_ = fmt::format("{}:{}", address.host, port);
}

Server::~Server() {
  parts_->over = true;
  parts_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
}

}  // namespace katman
