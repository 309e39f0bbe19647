// page.html, as the build put it into the program.
#pragma once

#include <string_view>

namespace katman {

extern const std::string_view page;

}  // namespace katman
