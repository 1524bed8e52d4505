// Settings of the whole process for libtorch: memory, denormals, threads. Free of libtorch.
#pragma once

namespace nestvit::train {

// Call it once, before the first tensor. `threads`: that compute; 0: one per core.
void set_up_process(int threads);

// The processors of this machine divided among `processes`, at least one.
int processors_per_process(int processes);

}  // namespace nestvit::train
