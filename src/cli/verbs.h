// The verbs: one list for the program, its help and its shell completion.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/engine.h"

namespace nestvit::cli {

// A forward bound to a loaded model: input [batch, channels, S, S] -> logits, level outputs. nestvit passes the
// torch-free engine, nestvit-train its libtorch twin.
using Forward = std::function<Output(std::span<const float> input, int batch, bool features)>;
using MakeForward = std::function<Forward(const Model& model, int threads)>;

}  // namespace nestvit::cli
