// Settings of the whole process for libtorch: memory, denormals, threads. Free of libtorch.
#pragma once

namespace nestvit::train {

// Call it once, before the first tensor. `threads`: that compute; 0: as thread_count() says.
void set_up_process(int threads);

}  // namespace nestvit::train
