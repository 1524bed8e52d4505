// nestvit-train: training, and the verbs that libtorch's forward can serve too.
#include "cli/model/torch_forward.h"
#include "cli/program/verb.h"
#include "cli/verbs/data/preview.h"
#include "cli/verbs/train/train.h"
#include "cli/verbs/train/train_verb.h"

int main(int argc, char** argv) {
  using namespace nestvit::cli;
  std::vector<std::string> arguments = plain_overrides({argv, argv + argc});
  std::vector<char*> plain;
  for (std::string& argument : arguments) plain.push_back(argument.data());
  const Backend backend{"torch", torch_forward};
  return run_program(
      {"nestvit-train",
       "NesT on libtorch: training, and evaluation with its forward.",
       {train_verb(run_training), eval_verb(backend), run_verb(backend), data_preview_verb()}},
      static_cast<int>(plain.size()), plain.data());
}
