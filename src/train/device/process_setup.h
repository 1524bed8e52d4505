// Settings of the whole process that libtorch's work wants. Free of libtorch.
#pragma once

namespace nestvit::train {

// Once, before the first tensor. `threads`: that compute; 0: one per core.
void prepare_process(int threads);

// Processors for each of `processes` on this machine, at least one.
int processors_for_each(int processes);

}  // namespace nestvit::train
