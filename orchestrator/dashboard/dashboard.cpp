#include "orchestrator/dashboard/dashboard.h"

#include <google/protobuf/util/json_util.h>
#include <httplib.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/control/address.h"
#include "orchestrator/dashboard/page.h"
#include "orchestrator/dashboard/prometheus.h"

namespace katman {
namespace {

using google::protobuf::Message;

constexpr size_t longest_body = 128 << 10, threads = 32;
constexpr int most_listeners = 24;  // of events; each holds a thread, and others want to be served
constexpr const char* json_type = "application/json";

std::string to_json(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  require(status.ok(), "cannot write {} as JSON: {}", message.GetTypeName(), status.ToString());
  return json;
}

template <class T>
T from_json(const std::string& body) {
  T message;
  const auto status = google::protobuf::util::JsonStringToMessage(body, &message);
  require_usage(status.ok(), "this is no {}: {}", T::descriptor()->name(),
                std::string(status.message()));
  return message;
}

uint64_t number(const httplib::Request& request, const char* name) {
  const std::string text = request.get_param_value(name);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require_usage(text.empty() || (error == std::errc() && end == text.data() + text.size()),
                "{} is '{}', not a number", name, text);
  return value;
}

void refuse(httplib::Response& response, int status, const std::string& why) {
  Refusal refusal;
  refusal.set_error(why);
  response.status = status;
  response.set_content(to_json(refusal), json_type);
}

// A page of another site that is open in the same browser shall not reach us: neither by a name
// that it lets point here (the host must be loopback), nor by a form (JSON from our origin only).
bool is_ours(const httplib::Request& request) {
  const std::string host = request.get_header_value("Host");
  if (!is_loopback(host.substr(0, host.rfind(':')))) return false;
  const std::string origin = request.get_header_value("Origin");
  if (!origin.empty() && origin != "http://" + host) return false;
  return request.method != "POST" || request.get_header_value("Content-Type") == json_type;
}

// Every request ends in an answer; none ends the orchestrator.
template <class Call>
httplib::Server::Handler answer(Call call) {
  return [call](const httplib::Request& request, httplib::Response& response) {
    try {
      response.set_content(to_json(call(request)), json_type);
    } catch (const UsageError& error) {
      refuse(response, 400, error.what());
    } catch (const std::exception& error) {
      spdlog::error("{}", error.what());
      refuse(response, 500, error.what());
    }
  };
}

}  // namespace

struct Dashboard::Parts {
  explicit Parts(Orchestrator& orchestrator) : orchestrator(orchestrator) {
    server.new_task_queue = [] { return new httplib::ThreadPool(threads); };
    server.set_payload_max_length(longest_body);
    server.set_keep_alive_timeout(2);
    server.set_pre_routing_handler([](const auto& request, auto& response) {
      response.set_header("Cache-Control", "no-store");
      response.set_header("X-Content-Type-Options", "nosniff");
      response.set_header("Content-Security-Policy",
                          "default-src 'none'; style-src 'unsafe-inline'; script-src "
                          "'unsafe-inline'; connect-src 'self'; img-src data:; "
                          "frame-ancestors 'none'");
      if (is_ours(request)) return httplib::Server::HandlerResponse::Unhandled;
      refuse(response, 403,
             "not answered: only this page, and programs that send "
             "Content-Type: application/json, may ask");
      return httplib::Server::HandlerResponse::Handled;
    });
    add_reads();
    add_writes();
    add_health();
    server.Get("/api/events",
               [this](const auto& request, auto& response) { follow_events(request, response); });
  }

  void add_reads() {
    server.Get("/", [](const auto&, auto& response) {
      response.set_content(page.data(), page.size(), "text/html; charset=utf-8");
    });
    server.Get("/api/runs", answer([this](const auto&) { return orchestrator.list(); }));
    server.Get("/api/run", answer([this](const auto& request) {
                 return orchestrator.details(request.get_param_value("run"));
               }));
    server.Get("/api/series", answer([this](const httplib::Request& request) {
                 SeriesRequest wanted;
                 wanted.set_run(request.get_param_value("run"));
                 wanted.set_name(request.get_param_value("name"));
                 wanted.set_most_points(static_cast<uint32_t>(number(request, "points")));
                 return orchestrator.series(wanted);
               }));
    server.Get("/api/logs", answer([this](const httplib::Request& request) {
                 LogsRequest wanted;
                 wanted.set_run(request.get_param_value("run"));
                 wanted.set_generation(number(request, "generation"));
                 return orchestrator.logs(wanted);
               }));
  }

  void add_writes() {
    server.Post("/api/submit", answer([this](const httplib::Request& request) {
                  return orchestrator.submit(from_json<SubmitRequest>(request.body));
                }));
    server.Post("/api/command", answer([this](const httplib::Request& request) {
                  return orchestrator.command(from_json<CommandRequest>(request.body));
                }));
  }

  void add_health() {
    server.Get("/healthz",
               [](const auto&, auto& response) { response.set_content("alive\n", "text/plain"); });
    server.Get("/readyz", [this](const auto&, auto& response) {
      const double age = orchestrator.seconds_since_it_looked();
      response.status = age < 10 ? 200 : 503;
      response.set_content(fmt::format("looked at its runs {:.1f} s ago\n", age), "text/plain");
    });
    server.Get("/metrics", [this](const auto&, auto& response) {
      response.set_content(prometheus_text(orchestrator.list()), "text/plain; version=0.0.4");
    });
  }

  // Events from the one after Last-Event-ID on, and the list of runs once a second.
  void follow_events(const httplib::Request& request, httplib::Response& response) {
    if (++listeners > most_listeners) {
      --listeners;
      refuse(response, 503, "too many pages listen already; close one");
      return;
    }
    const std::string last = request.get_header_value("Last-Event-ID");
    auto from = std::make_shared<WatchRequest>();
    from->set_after(std::strtoull(last.c_str(), nullptr, 10));
    response.set_chunked_content_provider(
        "text/event-stream",
        [this, from](size_t, httplib::DataSink& sink) { return send_news(*from, sink); },
        [this](bool) { --listeners; });
  }

  bool send_news(WatchRequest& from, httplib::DataSink& sink) {
    std::string text;
    const EventList news = orchestrator.events(from);
    for (const Event& event : news.events()) {
      text += fmt::format("id: {}\nevent: happened\ndata: {}\n\n", event.seq(), to_json(event));
      from.set_after(event.seq());
    }
    text += fmt::format("event: runs\ndata: {}\n\n", to_json(orchestrator.list()));
    if (!sink.write(text.data(), text.size())) return false;
    for (int tenths = 0; tenths < 10 && !over; ++tenths)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return !over;
  }

  Orchestrator& orchestrator;
  std::atomic<bool> over = false;
  std::atomic<int> listeners = 0;
  httplib::Server server;
  std::thread thread;
};

Dashboard::Dashboard(Orchestrator& orchestrator, const std::string& listen)
    : parts_(std::make_unique<Parts>(orchestrator)) {
  const Address wanted = loopback_address(listen);
  httplib::Server& server = parts_->server;
  // httplib sets SO_REUSEPORT by itself, and two orchestrators would share a port in silence.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  const int port = wanted.port == 0 ? server.bind_to_any_port(wanted.host)
                   : server.bind_to_port(wanted.host, wanted.port) ? wanted.port
                                                                   : -1;
  require(port > 0,
          "cannot serve the dashboard on {}: something else listens there; choose another port "
          "with --dashboard",
          listen);
  address_ = fmt::format("{}:{}", wanted.host, port);
  parts_->thread = std::thread([&server] { server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

Dashboard::~Dashboard() {
  parts_->over = true;
  parts_->server.stop();
  parts_->thread.join();
}

}  // namespace katman
