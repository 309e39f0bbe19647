#include "orchestrator/control/access.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>

#include "core/error.h"

namespace katman {
namespace fs = std::filesystem;
namespace {

constexpr size_t shortest_token = 20, longest_token = 256;
// Callers whose bucket is full again are forgotten when there are more.
constexpr size_t most_buckets = 4096;

std::optional<Role> role_named(const std::string& name) {
  for (const Role role : {Role::worker, Role::viewer, Role::operates})
    if (to_string(role) == name) return role;
  return std::nullopt;
}

void require_private(const fs::path& file) {
  struct stat about {};
  require_usage(stat(file.c_str(), &about) == 0, "cannot read the tokens in {}: does it exist?",
                file.string());
  require_usage((about.st_mode & 077) == 0,
                "the tokens in {} can be read by others: chmod 600 it first", file.string());
}

bool same(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char different = 0;
  for (size_t i = 0; i < a.size(); ++i) different |= static_cast<unsigned char>(a[i] ^ b[i]);
  return different == 0;
}

}  // namespace

std::string to_string(Role role) {
  static constexpr const char* names[] = {"worker", "viewer", "operator"};
  return names[static_cast<int>(role)];
}

Access::Access(const fs::path& file) {
  require_private(file);
  std::ifstream in(file);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    std::istringstream words(line.substr(0, line.find('#')));
    std::string role, name, token, more;
    if (!(words >> role)) continue;
    require_usage(words >> name >> token && !(words >> more) && role_named(role),
                  "{}, line {}: write a role (viewer, operator or worker), a name and a token",
                  file.string(), number);
    require_usage(token.size() >= shortest_token && token.size() <= longest_token,
                  "{}, line {}: the token of {} has {} characters; take {} to {}, for example from "
                  "`openssl rand -hex 16`",
                  file.string(), number, name, token.size(), shortest_token, longest_token);
    require_usage(!holder(token), "{}, line {}: the token of {} is somebody else's already",
                  file.string(), number, name);
    add({name, *role_named(role)}, token);
  }
  require_usage(!open(), "{} holds no token", file.string());
}

void Access::add(Identity identity, std::string token) {
  holders_.push_back({std::move(identity), std::move(token)});
}

std::optional<Identity> Access::holder(std::string_view token) const {
  const Holder* found = nullptr;
  for (const Holder& holder : holders_)
    if (same(holder.token, token)) found = &holder;
  return found ? std::optional(found->identity) : std::nullopt;
}

std::optional<Identity> Access::bearer(std::string_view authorization) const {
  constexpr std::string_view scheme = "Bearer ";
  if (!authorization.starts_with(scheme)) return std::nullopt;
  return holder(authorization.substr(scheme.size()));
}

std::string new_token() {
  std::random_device device;
  std::string token;
  for (int i = 0; i < 4; ++i) token += fmt::format("{:08x}", device());
  return token;
}

void write_token(const fs::path& file, const std::string& token) {
  const fs::path fresh = file.string() + ".new";
  unlink(fresh.c_str());
  const int out = open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const std::string line = token + "\n";
  const bool written =
      out >= 0 && write(out, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (out >= 0) close(out);
  require(written, "cannot write {}: is the disk full?", fresh.string());
  fs::rename(fresh, file);
}

std::string read_token(const fs::path& file) {
  require_private(file);
  std::ifstream in(file);
  std::string token, more;
  require_usage(in >> token && !(in >> more), "{} should hold one token and nothing else",
                file.string());
  return token;
}

bool RateLimit::allows(const std::string& caller, Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  const auto saved = [&](const Bucket& bucket) {
    const double quiet_s = std::chrono::duration<double>(now - bucket.seen).count();
    return std::min(burst_, bucket.saved + per_second_ * quiet_s);
  };
  if (buckets_.size() >= most_buckets)
    std::erase_if(buckets_, [&](const auto& entry) { return saved(entry.second) >= burst_; });
  Bucket& bucket = buckets_.try_emplace(caller, Bucket{burst_, now}).first->second;
  bucket.saved = saved(bucket);
  bucket.seen = now;
  if (bucket.saved < 1) return false;
  bucket.saved -= 1;
  return true;
}

}  // namespace katman
