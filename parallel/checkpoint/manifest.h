// The manifest of a checkpoint: which boxes of which tensors lie where, and what the run was.
#pragma once

#include <filesystem>
#include <string>

#include "core/box.h"
#include "parallel/checkpoint/checkpoint.h"
#include "parallel/checkpoint/piece.h"
#include "proto/checkpoint.pb.h"

namespace katman {

inline constexpr char manifest_name[] = "manifest.textproto";
inline constexpr int64_t checksum_block_bytes = 1 << 20;

// Protobuf text whose last line is a comment with the XXH3 of everything before it: a file that
// people can read and that knows when it is damaged.
std::string seal(const google::protobuf::Message& message);
// Parses what seal() wrote into `message`; throws Error that names `file` and the defect.
void unseal(const std::string& text, const std::filesystem::path& file,
            google::protobuf::Message& message);

// Reads and checks the manifest in `directory`: afterwards every box lies in its tensor, every part
// in its file, and the parts of a tensor tile it, so that nobody has to look again.
CheckpointManifest read_manifest(const std::filesystem::path& directory);
void check_manifest(const CheckpointManifest& manifest, const std::string& where);

// Everything but files and tensors, to and fro.
CheckpointManifest to_manifest(const CheckpointInfo& info);
CheckpointInfo to_info(const CheckpointManifest& manifest, const std::filesystem::path& directory);

Shape shape_of(const CheckpointTensor& tensor);
Box box_of(const CheckpointPart& part);
int64_t bytes_of(const CheckpointPart& part);
CheckpointPart::State state_of(Piece::What what);
Piece::What what_of(CheckpointPart::State state);

}  // namespace katman
