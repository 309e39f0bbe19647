// Errors a person can act on: one sentence that says what is wrong, where, and what to do.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace katman {

// Anything that stops the work: bad input, a full disk, a broken peer.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A request that could never have worked: an unknown field, an impossible mesh. The command line
// exits with 2 for these and with 1 for every other Error.
class UsageError : public Error {
 public:
  using Error::Error;
};

template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// Throws Error with the formatted sentence unless `ok`. Arguments are formatted only on failure.
template <class... Args>
void require(bool ok, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) [[unlikely]]
    fail(format, std::forward<Args>(args)...);
}

template <class... Args>
void require_usage(bool ok, fmt::format_string<Args...> format, Args&&... args) {
  if (!ok) [[unlikely]]
    throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace katman
