#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "core/error.h"

namespace katman::testing {

// Passes if `act` throws an Error whose sentence contains `part`.
inline ::testing::AssertionResult fails_with(const std::string& part,
                                             const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    if (std::string(error.what()).find(part) != std::string::npos)
      return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "the error says: " << error.what();
  }
  return ::testing::AssertionFailure() << "nothing was thrown";
}

}  // namespace katman::testing
