// A test of operations, for every backend and type; skipped where this machine cannot run one.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/backend_harness.h"
#include "tests/support/backends.h"

namespace katman::testing {

class Conformance : public ::testing::TestWithParam<Subject> {
 protected:
  void SetUp() override {
    if (const auto why = why_absent(GetParam().kind); !why.empty()) GTEST_SKIP() << why;
  }
  void check(const std::string& what, const std::vector<Operand>& operands, const Call& call,
             double slack = 2.5, double floor = 1e-5) {
    check_against_reference(GetParam(), what, operands, call, slack, floor);
  }
};

}  // namespace katman::testing
