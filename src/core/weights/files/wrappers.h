// Finds a network in a file of weights, whatever wraps it there. Programs put networks into others
// (DataParallel, torch.compile, FSDP, Lightning, an average of the weights), and each puts its name
// before those of the tensors: "module.", "_orig_mod.", "model.", "ema_model.". Files of torch.save
// put dicts of tensors into dicts. One rule for all formats: a network is where its first kernel
// is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weights/tensor.h"

namespace nestvit {

// Whether the name is that of a network's first kernel, wrapped or not.
bool is_wrapped_stem(std::string_view name);

// Whether a key or prefix says that its weights are averaged: "state_dict_ema",
// "ema_model.module.".
bool says_averaged(std::string_view place);

// Which of several places (keys or prefixes, "" for the top) to take weights from: averaged ones
// with `prefer_ema`, others without, as long as there are such; then by name, in the order
// state_dict, model, model_state_dict, net, network, weights, params (state_dict_ema, model_ema),
// the top, any other. Nothing when the best two are alike in all of this.
std::optional<size_t> choose_place(const std::vector<std::string>& places, bool prefer_ema);

struct Unwrapped {
  TensorMap tensors;   // under the network's own names
  std::string prefix;  // that they had: "module.model.", or ""
};

// The tensors of the network, and its classifier where that lies beside it or has another name
// ("backbone.*" and "fc.*"; "head.fc.*"). Other tensors beside it are left out with a warning.
// Without a network the tensors stay as they are. Throws Error that names `origin` and the
// prefixes: several networks, none of which choose_place() prefers.
Unwrapped unwrap(TensorMap tensors, bool prefer_ema, const std::string& origin);

}  // namespace nestvit
