#include "orchestrator/dashboard/dashboard.h"

#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "orchestrator/control/address.h"
#include "orchestrator/dashboard/api.h"
#include "orchestrator/dashboard/guard.h"
#include "orchestrator/dashboard/json.h"
#include "orchestrator/dashboard/page.h"
#include "orchestrator/dashboard/prometheus.h"

namespace katman {
namespace {

using httplib::Request;
using httplib::Response;
using Handled = httplib::Server::HandlerResponse;

constexpr size_t longest_body = 128 << 10, threads = 32;
constexpr double requests_per_s = 500, requests_at_once = 1000;  // of one address
constexpr int most_listeners = 24;  // of events; each holds a thread, and others want to be served
constexpr const char* json_type = "application/json";

void refuse(Response& response, int status, const std::string& why) {
  Refusal refusal;
  refusal.set_error(why);
  response.status = status;
  response.set_content(to_json(refusal), json_type);
}

// Every request ends in an answer; none ends the orchestrator.
template <class Call>
httplib::Server::Handler answer(Call call) {
  return [call](const Request& request, Response& response) {
    try {
      response.set_content(call(request), json_type);
    } catch (const UsageError& error) {
      refuse(response, 400, error.what());
    } catch (const std::exception& error) {
      spdlog::error("{}", error.what());
      refuse(response, 500, error.what());
    }
  };
}

// What a browser may have before it has shown a token.
bool is_for_everybody(const Request& request) {
  const auto assets = page_assets();
  return request.path == "/healthz" || request.path == "/readyz" || request.path == "/api/login" ||
         std::ranges::any_of(assets,
                             [&](const Asset& asset) { return asset.path == request.path; });
}

std::unique_ptr<httplib::Server> make_server(const Guard& guard) {
  if (!guard.has_tls()) return std::make_unique<httplib::Server>();
  auto server =
      std::make_unique<httplib::SSLServer>(guard.tls_certificate.c_str(), guard.tls_key.c_str());
  require(server->is_valid(),
          "cannot use the certificate {} with the key {}: both have to be PEM, and belong together",
          guard.tls_certificate.string(), guard.tls_key.string());
  return server;
}

}  // namespace

struct Dashboard::Parts {
  Parts(Orchestrator& orchestrator, const Guard& guard, bool loopback)
      : orchestrator(orchestrator),
        guard(guard),
        loopback(loopback),
        api(orchestrator),
        whole(make_server(guard)),
        server(*whole) {
    server.new_task_queue = [] { return new httplib::ThreadPool(threads); };
    server.set_payload_max_length(longest_body);
    server.set_keep_alive_timeout(2);
    server.set_tcp_nodelay(true);
    server.set_pre_routing_handler(
        [this](const auto& request, auto& response) { return admit(request, response); });
    server.set_error_handler([](const auto&, auto& response) {
      if (response.body.empty()) refuse(response, response.status, "there is nothing here");
    });
    add_page();
    add_reads();
    add_writes();
    add_health();
    server.Get("/api/events",
               [this](const auto& request, auto& response) { follow_events(request, response); });
  }

  Handled admit(const Request& request, Response& response) {
    response.set_header("Cache-Control", "no-store");
    response.set_header("X-Content-Type-Options", "nosniff");
    response.set_header("Referrer-Policy", "no-referrer");
    response.set_header("Content-Security-Policy",
                        "default-src 'none'; style-src 'self'; script-src 'self'; "
                        "connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
                        "form-action 'none'; frame-ancestors 'none'");
    const auto no = [&](int status, const char* why) {
      refuse(response, status, why);
      return Handled::Handled;
    };
    if (!rate.allows(request.remote_addr)) return no(429, "too many requests: wait a second");
    if (!is_from_our_page(request, loopback, guard.has_tls()))
      return no(403,
                "not answered: only this page, and programs that send Content-Type: "
                "application/json, may ask");
    if (guard.access.open() || is_for_everybody(request)) return Handled::Unhandled;
    const auto who = guard.access.holder(token_of(request));
    if (!who || !who->may_see()) return no(401, "show a token: log in, or send it as Bearer");
    const bool reads = request.method == "GET" || request.path == "/api/check";
    if (!reads && !who->may_command())
      return no(403, "a viewer's token shows; to do this takes an operator's");
    return Handled::Unhandled;
  }

  // Whose token a request carries; empty where nobody needs one.
  std::string who(const Request& request) const {
    const auto holder = guard.access.holder(token_of(request));
    return holder ? holder->name : "";
  }

  std::string log_in(const Request& request, Response& response) {
    const auto body = nlohmann::json::parse(request.body, nullptr, false);
    const std::string token = body.is_object() ? body.value("token", "") : "";
    const auto holder = guard.access.holder(token);
    require_usage(holder && holder->may_see(), "this token is nobody's");
    response.set_header("Set-Cookie", fmt::format("katman={}; HttpOnly; SameSite=Strict; Path=/{}",
                                                  token, guard.has_tls() ? "; Secure" : ""));
    return nlohmann::json{{"name", holder->name}, {"role", to_string(holder->role)}}.dump();
  }

  void add_page() {
    for (const Asset& asset : page_assets())
      server.Get(std::string(asset.path), [asset](const auto&, auto& response) {
        response.set_content(asset.bytes.data(), asset.bytes.size(), std::string(asset.type));
      });
  }

  using Read = std::string (Api::*)(const Parameters&);
  void read(const char* path, Read call) {
    server.Get(
        path, answer([this, call](const Request& request) {
          return (api.*call)([&](const char* name) { return request.get_param_value(name); });
        }));
  }
  void add_reads() {
    server.Get("/api/runs", answer([this](const auto&) { return api.runs(); }));
    server.Get("/api/sparks", answer([this](const auto&) { return api.sparks(); }));
    read("/api/run", &Api::details);
    read("/api/series", &Api::series);
    read("/api/logs", &Api::logs);
    read("/api/timeline", &Api::timeline);
    read("/api/ranks", &Api::ranks);
    read("/api/batch", &Api::batch);
    read("/api/layout", &Api::layout);
    read("/api/tasks", &Api::tasks);
    read("/api/question", &Api::question);
  }

  using Write = std::string (Api::*)(const std::string& body, const std::string& who);
  void write(const char* path, Write call) {
    server.Post(path, answer([this, call](const Request& request) {
                  return (api.*call)(request.body, who(request));
                }));
  }
  void add_writes() {
    write("/api/check", &Api::check);
    write("/api/submit", &Api::submit);
    write("/api/fork", &Api::fork);
    write("/api/command", &Api::command);
    write("/api/verify", &Api::verify);
    server.Post("/api/login", [this](const Request& request, Response& response) {
      answer([&](const auto&) { return log_in(request, response); })(request, response);
    });
    server.Post("/api/generate",
                [this](const auto& request, auto& response) { generate(request, response); });
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
  void follow_events(const Request& request, Response& response) {
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
    text += fmt::format("event: runs\ndata: {}\n\n", api.runs());
    if (!sink.write(text.data(), text.size())) return false;
    for (int tenths = 0; tenths < 10 && !over; ++tenths)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    return !over;
  }

  // A line {"text"} for words as they come, and {"done"} or {"error"} at the end.
  void generate(const Request& request, Response& response) try {
    const std::shared_ptr<Generation> generation = api.generate(request.body);
    response.set_chunked_content_provider(
        "application/x-ndjson", [this, generation](size_t, httplib::DataSink& sink) {
          const auto send = [&](const char* what, const std::string& value) {
            const std::string line = nlohmann::json{{what, value}}.dump(
                                         -1, ' ', false, nlohmann::json::error_handler_t::replace) +
                                     "\n";
            return sink.write(line.data(), line.size());
          };
          std::string words;
          if (!over && generation->next(words)) return send("text", words);
          const std::string error = generation->error();
          send(error.empty() ? "done" : "error", error);
          sink.done();
          return true;
        });
  } catch (const UsageError& error) {
    refuse(response, 400, error.what());
  } catch (const std::exception& error) {
    refuse(response, 500, error.what());
  }

  Orchestrator& orchestrator;
  const Guard guard;
  const bool loopback;
  Api api;
  RateLimit rate{requests_per_s, requests_at_once};
  std::atomic<bool> over = false;
  std::atomic<int> listeners = 0;
  std::unique_ptr<httplib::Server> whole;  // with TLS or without
  httplib::Server& server;
  std::thread thread;
};

Dashboard::Dashboard(Orchestrator& orchestrator, const std::string& listen, const Guard& guard)
    : tls_(guard.has_tls()) {
  const Address wanted = listening_address(listen, guard.complete());
  parts_ = std::make_unique<Parts>(orchestrator, guard, is_loopback(wanted.host));
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
