// The official checkpoints: folders of clu (`checkpoint` + ckpt-N.flax), and flax's msgpack in
// them. reference.md C.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/file.h"
#include "weights/tensor.h"

namespace nestvit {

// The .flax file that a path means (C.2): a .flax file itself; a folder's latest by its
// `checkpoint` text file; for any other path, the latest of its parent folder, whatever the last
// component is. Nothing when neither is such a folder. Throws Error when the text file is damaged
// or names a file that is not there.
std::optional<std::filesystem::path> find_flax_checkpoint(const std::filesystem::path& path);

struct FlaxCheckpoint {
  // Bytes lie in the mapped file, at any address: read them by to_f32().
  TensorMap params;       // optimizer/target by path: "EncoderNDBlock_0/LayerNorm_0/scale"
  TensorMap batch_stats;  // model_state/batch_stats, likewise; empty without BN
  int64_t step = 0;
  std::shared_ptr<const MappedFile> file;  // where the bytes lie; not set by parse_flax_checkpoint
};

// Throws Error: not a msgpack map, arrays whose bytes do not match shape and type, too deep or too
// many, no optimizer/target.
FlaxCheckpoint read_flax_checkpoint(const std::filesystem::path& file);
FlaxCheckpoint parse_flax_checkpoint(std::span<const std::byte> bytes,
                                     std::shared_ptr<const void> owner, const std::string& origin);
// Whether the bytes begin like a checkpoint: a msgpack map with one of TrainState's keys first.
bool looks_like_flax(std::span<const std::byte> bytes);

// Makes `folder` one that clu and flax restore: checkpoint, ckpt-1.flax with a whole TrainState at
// step 0 (zero moments). Written beside and renamed.
void write_flax_checkpoint(const std::filesystem::path& folder, const TensorMap& params,
                           const TensorMap& batch_stats);

}  // namespace nestvit
