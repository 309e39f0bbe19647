#pragma once

#include <string>

namespace katman {

std::string host_name();  // of this machine, at most 255 bytes

}  // namespace katman
