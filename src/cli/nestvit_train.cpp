// nestvit-train: training, and the verbs that libtorch's forward can serve too.
#include <algorithm>

#include "cli/model/torch_forward.h"
#include "cli/program/verb.h"
#include "cli/verbs/train/train.h"
#include "cli/verbs/train/train_verb.h"
#include "cli/verbs/verbs.h"

int main(int argc, char** argv) {
  using namespace nestvit::cli;
  const ForwardEngine engine{"torch", torch_forward};
  return run_program({"nestvit-train",
                      "NesT on libtorch: training, and evaluation with its forward.",
                      {train_verb(run_training), eval_verb(engine), run_verb(engine)}},
                     plain_overrides({argv + std::min(argc, 1), argv + argc}));
}
