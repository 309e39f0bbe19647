// What starts several ranks on this machine.
#pragma once

#include <string>
#include <vector>

namespace katman {

// The words that begin a command line: the mpirun of the bundle that this program came in, told
// where its parts are, else the machine's. When a rank dies, it ends the others at once.
std::vector<std::string> mpirun_words();

}  // namespace katman
