// nestvit-train: training, and the verbs that libtorch's forward can serve too.
#include "cli/model/torch_forward.h"
#include "cli/program/verb.h"
#include "cli/verbs/data/preview.h"
#include "cli/verbs/train/train.h"

int main(int argc, char** argv) {
  using namespace nestvit::cli;
  std::vector<std::string> arguments = plain_overrides({argv, argv + argc});
  std::vector<char*> plain;
  for (std::string& argument : arguments) plain.push_back(argument.data());
  const ForwardEngine engine{"torch", torch_forward};
  return run_program({"nestvit-train",
                      "NesT on libtorch: training, and evaluation with its forward.",
                      {train_verb(), eval_verb(engine), run_verb(engine), data_preview_verb()}},
                     static_cast<int>(plain.size()), plain.data());
}
