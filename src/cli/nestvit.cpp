// nestvit: everything but training, without libtorch.
#include "cli/model/fastest_type.h"
#include "cli/program/verb.h"
#include "runtime/engine.h"

namespace {

nestvit::cli::Forward engine_forward(const nestvit::LoadedModel& model,
                                     const nestvit::cli::ForwardOptions& options) {
  const nestvit::NumberType precision =
      options.fastest ? nestvit::cli::speed_of_types(model, options.threads).fastest()
                      : options.precision;
  auto engine = std::make_shared<nestvit::Engine>(
      model, nestvit::EngineOptions{.threads = options.threads, .precision = precision});
  return [engine](std::span<const float> input, int batch, bool features) {
    return engine->run(input, batch, features);
  };
}

// The verb that lives in nestvit-train, which gets all arguments.
nestvit::cli::Verb train_verb() {
  nestvit::cli::Verb verb;
  verb.name = "train";
  verb.summary = "Train a model on a folder of images or a known dataset (nestvit-train).";
  return verb;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace nestvit::cli;
  const Backend backend{"core", engine_forward};
  return run_program({"nestvit",
                      "NesT, the nested hierarchical transformer: train it on images, measure it, "
                      "ask it.",
                      {predict_verb(backend), eval_verb(backend), train_verb(), bench_verb(),
                       convert_verb(), data_verb(), doctor_verb(backend), inspect_verb(),
                       run_verb(backend), preprocess_verb(), pull_verb(), quantize_verb()}},
                     argc, argv);
}
