// The text file `checkpoint` of TensorFlow and clu, which names the newest checkpoint of its
// folder: a CheckpointState as protobuf text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nestvit {

// The value of model_checkpoint_path, unchanged; nothing when the text has none.
std::optional<std::string> newest_checkpoint(std::string_view text);

}  // namespace nestvit
