// Who may ask an orchestrator for what, and how often: shared by gRPC and HTTP.
//
// On loopback nobody has to show anything. Elsewhere everybody shows a token, over TLS. The file of
// tokens has one per line, and only its owner may read it:
//
//   # role    name   token
//   viewer    ada    5b1d7a0c6a9f4e0f9c5e
//   operator  grace  c9e3f1b2a4d85e6f7081
//   worker    runs   0f4e9c5e5b1d7a0c6a9f
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace katman {

// What a token allows: a worker reports how its run stands, a viewer sees everything, an operator
// commands as well.
enum class Role { worker, viewer, operates };
std::string to_string(Role role);  // as the file spells it: "operator"

// Whom a token belongs to.
struct Identity {
  std::string name;
  Role role = Role::viewer;

  bool may_report() const { return role != Role::viewer; }
  bool may_see() const { return role != Role::worker; }
  bool may_command() const { return role == Role::operates; }
};

class Access {
 public:
  Access() = default;  // open: everybody is an operator
  // Throws UsageError naming the line that is wrong, or the permissions that are too wide.
  explicit Access(const std::filesystem::path& file);

  bool open() const { return holders_.empty(); }
  // Another token that counts. Not while others ask.
  void add(Identity identity, std::string token);

  // Whose token this is; nothing when it is nobody's. Takes the same time for every token of a
  // length, so that it cannot be guessed byte by byte.
  std::optional<Identity> holder(std::string_view token) const;
  // The same for the value of an Authorization header or a metadata entry: "Bearer TOKEN".
  std::optional<Identity> bearer(std::string_view authorization) const;

 private:
  struct Holder {
    Identity identity;
    std::string token;
  };
  std::vector<Holder> holders_;
};

// What an orchestrator asks of its callers, over gRPC and HTTP alike.
struct Guard {
  Access access = {};                          // open: on loopback only
  std::filesystem::path tls_certificate = {};  // PEM; empty: no TLS, on loopback only
  std::filesystem::path tls_key = {};

  bool has_tls() const { return !tls_certificate.empty(); }
  // Whether one may listen where others can reach it.
  bool complete() const { return has_tls() && !access.open(); }
};

// A token that nobody guesses: 32 hexadecimal digits.
std::string new_token();
// Writes a token to a file that only its owner can read, replacing one that is there.
void write_token(const std::filesystem::path& file, const std::string& token);
// Reads a file that holds a token and nothing else. Throws UsageError when it is not there.
std::string read_token(const std::filesystem::path& file);

// So many requests per second of each caller, and a burst of as many again as it saved up while it
// was quiet (a token bucket). Any thread.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;
  RateLimit(double per_second, double burst) : per_second_(per_second), burst_(burst) {}

  // Whether `caller` may ask once more now.
  bool allows(const std::string& caller, Clock::time_point now = Clock::now());

 private:
  struct Bucket {
    double saved = 0;
    Clock::time_point seen;
  };
  const double per_second_, burst_;
  std::mutex mutex_;
  std::map<std::string, Bucket> buckets_;
};

}  // namespace katman
