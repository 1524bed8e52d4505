// nestvit: everything but training, which it hands over to nestvit-train; without libtorch.
#include <algorithm>

#include "cli/model/fastest_type.h"
#include "cli/program/exec.h"
#include "cli/program/options.h"
#include "cli/program/verb.h"
#include "cli/verbs/train/train_verb.h"
#include "cli/verbs/verbs.h"
#include "runtime/engine.h"
#include "runtime/gradients.h"

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

nestvit::cli::RunGradients engine_gradients(const nestvit::LoadedModel& model, int threads) {
  auto engine = std::make_shared<nestvit::GradientEngine>(model, threads);
  return [engine](std::span<const float> input, int batch, const nestvit::Targets& targets,
                  const nestvit::GradientOptions& options) {
    return engine->run(input, batch, targets, options);
  };
}

// Training needs libtorch: nestvit-train gets all arguments.
int hand_over(const nestvit::cli::TrainArguments&, const nestvit::cli::Invocation& invocation) {
  nestvit::cli::exec_sibling("nestvit-train", invocation.arguments);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace nestvit::cli;
  const ForwardEngine engine{"core", engine_forward, engine_gradients};
  return run_program(
      {"nestvit",
       "NesT, the nested hierarchical transformer: train it on images, measure it, "
       "ask it.",
       {predict_verb(engine), explain_verb(), eval_verb(engine), train_verb(hand_over),
        bench_verb(), convert_verb(), data_verb(), doctor_verb(engine), inspect_verb(),
        run_verb(engine), preprocess_verb(), pull_verb(), quantize_verb()}},
      plain_overrides({argv + std::min(argc, 1), argv + argc}));
}
