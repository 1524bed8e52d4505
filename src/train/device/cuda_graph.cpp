// What cannot be recorded: see cuda_graph.h.
#include "train/device/cuda_graph.h"

#include <nestvit/error.h>

#include "train/device/cuda_module.h"

namespace nestvit::train {

void check_cuda_graph(const Recipe& recipe, const TrainOptions& options) {
  if (!options.cuda_graph) return;
  if (options.device == "cpu")
    throw UsageError("--cuda-graph records what a GPU does, and the device is cpu",
                     "give --device cuda, or leave it out");
  // The reducer decides anew in each backward when it exchanges what.
  if (options.group->exchanges())
    throw UsageError("--cuda-graph in a run that exchanges gradients: that is not recorded",
                     "leave it out with several processes and with --dist-backend");
  // The second run of a layer sets the generator to where the first one was.
  if (recipe.grad_checkpointing)
    throw UsageError(
        "--cuda-graph with grad_checkpointing: layers computed again draw their "
        "numbers again, which cannot be recorded",
        "leave one of them out");
}

MakeReplay cuda_graph(const TrainOptions& options) {
  if (!options.cuda_graph) return nullptr;
  return cuda_module().replay;
}

}  // namespace nestvit::train
