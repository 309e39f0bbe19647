#include "core/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

#include "core/error.h"

namespace katman {

void init_log(const std::string& level) {
  const auto parsed = spdlog::level::from_str(level);
  require_usage(parsed != spdlog::level::off || level == "off",
                "unknown log level '{}': use trace, debug, info, warn, error or off", level);
  if (!spdlog::get("katman")) spdlog::set_default_logger(spdlog::stderr_color_st("katman"));
  spdlog::set_pattern("%^%l%$: %v");
  spdlog::set_level(parsed);
}

}  // namespace katman
