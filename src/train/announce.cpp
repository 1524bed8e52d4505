// The start print: what is in force, with its numbers.
#include "train/announce.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"

namespace nestvit::train {
namespace {

// What is frozen, what decays, and the learning rate of each layer.
void announce_groups(const Recipe& recipe, const std::vector<Optimizer::ParameterGroup>& groups) {
  int64_t trained = 0;
  std::string decay;
  for (const bool decayed : {true, false}) {
    Optimizer::ParameterGroup sum{decayed, 0, 0};
    for (const Optimizer::ParameterGroup& group : groups)
      if (group.decayed == decayed) {
        sum.tensors += group.tensors;
        sum.values += group.values;
      }
    trained += sum.values;
    if (sum.tensors > 0)
      decay += fmt::format("{}{} {} tensors ({} values)", decay.empty() ? "" : ", ",
                           decayed ? fmt::format("{} on", recipe.weight_decay) : "none on",
                           sum.tensors, human_count(sum.values));
  }
  if (!recipe.freeze.empty())
    log_info(
        fmt::format("frozen         {}: {} values stay, {} train", fmt::join(recipe.freeze, ", "),
                    human_count(parameter_count(network(recipe)) - trained), human_count(trained)));
  log_info(fmt::format("weight decay   {}", decay));
  if (recipe.layer_decay == 1) return;
  log_info(fmt::format("layer decay    {} per layer; the learning rate is multiplied by",
                       recipe.layer_decay));
  for (const Optimizer::ParameterGroup& group : groups)
    log_info(fmt::format("               {:.4g} for {} tensor{} ({} values{})", group.share,
                         group.tensors, group.tensors == 1 ? "" : "s", human_count(group.values),
                         group.decayed ? "" : ", not decayed"));
}

void announce_steps(const Recipe& r, const StepPlan& plan, const Schedule& schedule) {
  const std::string batch =
      step_batches(r) == 1
          ? fmt::format("batches of {} images", r.per_device_batch_size)
          : fmt::format("batches of {}{}{} = {} images",
                        r.grad_accum_steps > 1
                            ? fmt::format("{} (accumulated) x ", r.grad_accum_steps)
                            : "",
                        r.num_devices > 1 ? fmt::format("{} (devices) x ", r.num_devices) : "",
                        r.per_device_batch_size, step_images(r));
  log_info(fmt::format("steps          {} in all, {} per epoch, {}", human_count(plan.total),
                       human_count(plan.per_epoch), batch));
  std::string rate = fmt::format("{:.3g} at its peak ({:.3g} x {} / 256)", schedule.base,
                                 r.learning_rate, step_images(r));
  if (schedule.warmup_epochs > 0)
    rate += fmt::format(", from {:.3g} in {:.4g} epochs of warm-up", schedule.warmup,
                        schedule.warmup_epochs);
  if (schedule.kind != ScheduleKind::kConstant)
    rate +=
        fmt::format(", then {} to {:.3g}",
                    schedule.kind == ScheduleKind::kCosine ? "cosine" : "linear", schedule.minimum);
  log_info(fmt::format("learning rate  {}", rate));
  if (r.data.sampler == Sampler::kBalanced)
    log_info("sampler        balanced: every class comes equally often");
  if (r.data.shuffle_window > 0)
    log_info(fmt::format("order          shards in random order, shuffled in windows of {} images",
                         human_count(r.data.shuffle_window)));
  if (r.patience > 0)
    log_info(fmt::format("early stop     after {} evaluations without a better top-1{}", r.patience,
                         r.min_delta > 0 ? fmt::format(" (by {} %)", r.min_delta) : ""));
}

void announce_optimiser(const Recipe& r) {
  std::string text =
      r.optim == Optim::kSgd
          ? fmt::format("sgd, Nesterov momentum {}", r.sgd_momentum)
          : fmt::format("{}, betas {}, eps {}", r.optim == Optim::kAdam ? "adam" : "adamw",
                        fmt::join(r.opt_betas, " and "), r.opt_eps);
  if (r.grad_clip_max_norm > 0)
    text += fmt::format(", gradient norm clipped at {}", r.grad_clip_max_norm);
  log_info(fmt::format("optimiser      {}", text));
}

void announce_precision(const Recipe& r) {
  if (r.amp != Amp::kNone)
    log_info(fmt::format("precision      {} products, weights and optimiser f32{}",
                         r.amp == Amp::kBf16   ? "bf16"
                         : r.amp == Amp::kFp16 ? "fp16"
                                               : "tf32",
                         r.amp == Amp::kFp16 ? ", the loss is scaled" : ""));
  if (r.grad_checkpointing)
    log_info("memory         encoder layers are computed again in the backward");
  if (r.model_ema)
    log_info(fmt::format("EMA            decay {}{}; the average is evaluated and kept",
                         r.model_ema_decay, r.model_ema_warmup ? " after a warm-up" : ""));
}

}  // namespace

void announce(const Recipe& recipe, const StepPlan& plan, const Schedule& schedule,
              const Learner& learner, const std::filesystem::path& workdir, bool resumed,
              int64_t step) {
  log_info(fmt::format("parameters     {}", human_count(parameter_count(network(recipe)))));
  announce_optimiser(recipe);
  announce_groups(recipe, learner.optimizer().groups());
  announce_steps(recipe, plan, schedule);
  announce_precision(recipe);
  log_info(fmt::format("run folder     {}", workdir.string()));
  if (!resumed) return;
  if (step >= plan.total) {
    log_info(fmt::format("this run is finished: all {} steps are done; raise --epochs to go on",
                         human_count(plan.total)));
  } else {
    log_info(fmt::format("going on after step {} of {} (epoch {:.2f})", human_count(step),
                         human_count(plan.total), plan.epoch(step)));
  }
}

}  // namespace nestvit::train
