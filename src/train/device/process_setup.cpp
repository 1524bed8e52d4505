// Memory, denormals and threads.
#include "train/device/process_setup.h"

#include <malloc.h>

#include <limits>

#include "base/system/processors.h"
#include "train/torch.h"

namespace nestvit::train {

void set_up_process(int threads) {
  // Activations of megabytes come and go in every step: kept in the heap they cost no page faults,
  // which are a tenth of a small model's step otherwise.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  // Before the first parallel region: its threads inherit the flag. Denormals are many times slower
  // to compute with.
  at::globalContext().setFlushDenormal(true);
  at::set_num_threads(thread_count(threads));
}

}  // namespace nestvit::train
