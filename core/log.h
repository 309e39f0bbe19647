// The program's one logger: plain lines on standard error, so that standard output stays data.
#pragma once

#include <spdlog/spdlog.h>

namespace katman {

// Sets the pattern and level once at start-up. level: trace, debug, info, warn, error, off.
void init_log(const std::string& level = "info");

}  // namespace katman
