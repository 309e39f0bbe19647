// The run file: read, override, complete, check. The one place that knows the defaults.
#pragma once

#include <string>
#include <vector>

#include "parallel/trainer.h"
#include "proto/run.pb.h"

namespace katman {

// Reads protobuf text. Throws UsageError with file, line and column for what cannot be read, and
// with the fields that exist for one that does not.
RunSpec read_run_file(const std::string& path);

// Sets one field by its path: "model.layers=4", "mesh.tp=2", "learning_rate.kind=LINEAR". Strings
// need no quotes. Throws UsageError naming the fields that exist where the path goes wrong.
void set_field(RunSpec& spec, const std::string& assignment);

// Writes every default into the spec and checks each field by itself, then all together (an
// impossible mesh is refused with the nearest one that works). Throws UsageError: field, value,
// remedy. `fallback_name` names a run that does not name itself.
void complete(RunSpec& spec, const std::string& fallback_name);

// Another layout for a completed spec.
void set_layout(RunSpec& spec, const Mesh& mesh);

// The model of a completed spec, for fine-tuning that of the checkpoint it starts from; a
// vocabulary that the spec leaves open is `tokenizer_vocabulary`.
GptConfig model_config(const RunSpec& spec, int64_t tokenizer_vocabulary);

// What the trainer needs to know, from a completed spec.
// What follows from the data itself is still open: see run_data.h.
TrainConfig train_config(const RunSpec& spec, int64_t tokenizer_vocabulary);

// As protobuf text, fields in order: what run.textproto in the run's directory holds.
std::string to_text(const RunSpec& spec);
RunSpec parse_run_spec(const std::string& text, const std::string& where);

// Fields that differ, one "path: old -> new" each; shown when a run is resumed with another spec.
std::vector<std::string> differences(const google::protobuf::Message& before,
                                     const google::protobuf::Message& after);

}  // namespace katman
