// Text in a line of a terminal.
#pragma once

#include <string>

namespace katman {

// The first bytes of a text, cut between characters, on one line.
std::string excerpt(std::string text, size_t bytes);

}  // namespace katman
