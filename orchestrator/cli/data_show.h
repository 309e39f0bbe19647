// katman data show.
#pragma once

namespace CLI {
class App;
}

namespace katman {

void add_show(CLI::App& data);

}  // namespace katman
