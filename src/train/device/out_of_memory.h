// The error that a user reads when training runs out of memory. Free of libtorch.
#pragma once

#include <functional>

namespace nestvit::train {

// Runs `body`. If it runs out of memory on the GPU or the CPU, throws an Error that says which
// flags need less. Other exceptions pass.
void explain_out_of_memory(const std::function<void()>& body);

}  // namespace nestvit::train
