// What a user reads when training runs out of memory. Free of libtorch.
#pragma once

#include <functional>

namespace nestvit::train {

// Runs `body`. Where it ends for want of memory on the GPU or the CPU, throws an Error that says
// what needs less; whatever else it throws passes.
void with_memory(const std::function<void()>& body);

}  // namespace nestvit::train
