// Commands that ask a model on as many ranks as it needs.
#pragma once

#include <functional>

#include "core/comm.h"
#include "orchestrator/loaded_model.h"

namespace CLI {
class App;
}

namespace katman {

// --device, --precision, --threads, --tp, --pp, and --dp where replicas have something to share.
void add_model_options(CLI::App& command, ModelOptions& options, bool replicas);

// Runs `work` on every rank of the mesh: here when it is one; a rank of this process's job under
// mpirun; otherwise this process becomes mpirun, which starts the same command line on all ranks.
// In that case nothing after this call happens, so what a person can get wrong is checked before.
void on_ranks(const Mesh& mesh, const std::function<void(Comm& world)>& work);

}  // namespace katman
