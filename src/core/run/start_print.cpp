// One line per subject.
#include "run/start_print.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/log.h"
#include "base/unicode.h"
#include "data/formats/folder_layout.h"
#include "data/split.h"
#include "data/training_data.h"
#include "run/recipe/augmentation.h"
#include "run/recipe/finetune.h"
#include "run/recipe/resolve.h"
#include "weights/labels/labels.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

std::string class_list(const std::vector<std::string>& classes) {
  constexpr size_t kShown = 12;
  std::vector<std::string> shown;
  for (size_t k = 0; k < std::min(classes.size(), kShown); ++k)
    shown.push_back(printable(classes[k]));
  return fmt::format(
      "{}: {}{}", classes.size(), fmt::join(shown, ", "),
      classes.size() > kShown ? fmt::format(", and {} more", classes.size() - kShown) : "");
}

std::string split_source(const RunSetup& setup) {
  const Recipe& recipe = setup.recipe;
  const bool by_record = recipe.eval_only && setup.weights && setup.weights->trained_on;
  if (by_record) return "";  // said when the data was opened
  if (setup.val->is_share())
    return fmt::format(" ({:.4g} % of each class, drawn with seed {})", 100 * recipe.data.val_share,
                       recipe.seed);
  if (setup.facts.kind != "image folder") return "";
  const fs::path root = recipe.data.dir;
  const auto part = find_layout(root).part(parse_split(recipe.data.val_split));
  return part ? fmt::format(" (from {}/)", part->lexically_relative(root).string()) : "";
}

std::string transform_text(const Recipe& recipe) {
  switch (recipe.train_transform) {
    case TransformChoice::kCrop:
      return "random crop of 5 to 100 % of the area, flip";
    case TransformChoice::kRrc:
      return "timm's random crop of 8 to 100 % of the area, flip";
    case TransformChoice::kPad:
      return "shift by up to 2 pixels, flip";
    case TransformChoice::kFlip:
      return "flip";
    default:
      return "none";
  }
}

// Changes that only a NesT needs.
void report_nest(WeightsReport& report, NestConfig ours, NestConfig theirs) {
  const int edge = geometry(ours).front().edge, before = geometry(theirs).front().edge;
  if (edge != before)
    report.changes.push_back(
        fmt::format("position embeddings resized: blocks of {} x {} tokens instead of {} x {}",
                    edge, edge, before, before));
  const Fields a = fields(ours), b = fields(theirs);
  for (const char* key : {"gelu", "pool_padding"})
    if (a.get(key) != b.get(key))
      report.warnings.push_back(fmt::format(
          "nest.{} is {}, but the weights were trained with {}: expect lower accuracy at first",
          key, a.get(key), b.get(key)));
}

// What this run holds out may be what the weights were trained on.
void warn_of_trained(const RunSetup& setup) {
  const auto& record = setup.weights->trained_on;
  if (!setup.train || !record) return;
  const auto names = names_in_model(setup.val->classes(), *setup.weights);
  if (recognise(*setup.val, names, *record).same == 0) return;
  log_warning(fmt::format(
      "{} was trained on some of the images that this run evaluates on: the accuracy will be too "
      "high{}",
      setup.weights->origin,
      record->val_share && setup.val->is_share()
          ? fmt::format("; --val-share {} --seed {} hold out the same ones", *record->val_share,
                        record->seed)
          : ""));
}

void print_weights(const RunSetup& setup) {
  const WeightsReport report = report_weights(setup.recipe, *setup.weights, setup.val->classes());
  log_info(
      fmt::format("weights        {}: {}", setup.weights->origin, fmt::join(report.changes, "; ")));
  for (const std::string& warning : report.warnings) log_warning(warning);
  warn_of_trained(setup);
}

void print_augmentation(const Recipe& r) {
  const Augmentation augmentation(augment_settings(r), static_cast<uint64_t>(r.seed));
  for (const std::string& step : augmentation.describe())
    log_info(fmt::format("augmentation   {}", step));
  if (const auto mix = mix_settings(r)) log_info(fmt::format("mix            {}", describe(*mix)));
}

// Frozen parameters, weight decay, and the learning rate of each layer.
void print_groups(const Recipe& recipe, const std::vector<ParameterGroup>& groups) {
  int64_t trained = 0;
  std::string decay;
  for (const bool decayed : {true, false}) {
    ParameterGroup sum{decayed, 0, 0};
    for (const ParameterGroup& group : groups)
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
    log_info(fmt::format(
        "frozen         {}: {} values stay, {} train", fmt::join(recipe.freeze, ", "),
        human_count(parameter_count(architecture_of(recipe)) - trained), human_count(trained)));
  log_info(fmt::format("weight decay   {}", decay));
  if (recipe.layer_decay == 1) return;
  log_info(fmt::format("layer decay    {} per layer; the learning rate is multiplied by",
                       recipe.layer_decay));
  for (const ParameterGroup& group : groups)
    log_info(fmt::format("               {:.4g} for {} tensor{} ({} values{})", group.share,
                         group.tensors, group.tensors == 1 ? "" : "s", human_count(group.values),
                         group.decayed ? "" : ", not decayed"));
}

void print_steps(const Recipe& r, const StepPlan& plan, const Schedule& schedule) {
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

void print_optimiser(const Recipe& r) {
  std::string text =
      r.optim == Optim::kSgd
          ? fmt::format("sgd, Nesterov momentum {}", r.sgd_momentum)
          : fmt::format("{}, betas {}, eps {}", r.optim == Optim::kAdam ? "adam" : "adamw",
                        fmt::join(r.opt_betas, " and "), r.opt_eps);
  if (r.grad_clip_max_norm > 0)
    text += fmt::format(", gradient norm clipped at {}", r.grad_clip_max_norm);
  log_info(fmt::format("optimiser      {}", text));
}

void print_precision(const Recipe& r) {
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

WeightsReport report_weights(const Recipe& recipe, const LoadedNetwork& weights,
                             const std::vector<std::string>& classes) {
  WeightsReport report;
  const Architecture ours = architecture_of(recipe);
  const Architecture& theirs = weights.config;
  const HeadPlan head = plan_head(recipe, weights, classes);
  report.changes.push_back(head.change);
  if (!head.warning.empty()) report.warnings.push_back(head.warning);
  if (ours.in_channels() != theirs.in_channels())
    report.changes.emplace_back("first kernel summed over colours: the input is grey");
  if (ours.nest()) report_nest(report, *ours.nest(), *theirs.nest());
  return report;
}

void print_setup(const RunSetup& setup) {
  const Recipe& r = setup.recipe;
  const Preprocessing& p = r.preprocessing;
  log_info(fmt::format("recipe         {}", setup.base));
  log_info(fmt::format("data           {}{}: {} images to train on, {} to evaluate{}",
                       setup.facts.kind, r.data.dir.empty() ? "" : " " + r.data.dir,
                       setup.train ? human_count(setup.facts.train_size) : "no",
                       human_count(setup.facts.val_size), split_source(setup)));
  log_info(fmt::format("classes        {}", class_list(setup.val->classes())));
  say_not_read({setup.train.get(), setup.val.get()});
  log_info(fmt::format("model          {}, input {} x {} x {}: {}", r.model_name, r.in_channels,
                       r.input_size, r.input_size, describe(architecture_of(r))));
  if (setup.weights) print_weights(setup);
  if (setup.train)
    log_info(fmt::format(
        "transforms     {}; label smoothing {}{}", transform_text(r), r.mix.smoothing,
        is_resnet(r.model_name) ? ""
                                : fmt::format("; drop-path {}", r.nest.stochastic_depth_drop)));
  if (setup.train) print_augmentation(r);
  const bool plain = std::all_of(p.mean.begin(), p.mean.end(), [](double m) { return m == 0; }) &&
                     std::all_of(p.std.begin(), p.std.end(), [](double s) { return s == 1; });
  log_info(plain ? "normalisation  none, pixels stay in [0, 1] (as in the official code when no "
                   "augmentation key is set)"
                 : fmt::format("normalisation  mean [{:.4g}], std [{:.4g}]",
                               fmt::join(p.mean, ", "), fmt::join(p.std, ", ")));
}

void print_loop_start(const LoopStart& start) {
  const Recipe& recipe = start.recipe;
  const StepPlan& plan = start.plan;
  log_info(fmt::format("parameters     {}", human_count(parameter_count(architecture_of(recipe)))));
  print_optimiser(recipe);
  print_groups(recipe, start.groups);
  print_steps(recipe, plan, start.schedule);
  print_precision(recipe);
  log_info(fmt::format("run folder     {}", start.workdir.string()));
  if (!start.resumed_after) return;
  const int64_t step = *start.resumed_after;
  if (step > plan.total) {
    log_info(
        fmt::format("this run is finished: it has done {} steps, and {} are asked for; to go "
                    "on, ask for more than {:.4g} epochs",
                    human_count(step), human_count(plan.total),
                    static_cast<double>(step) / static_cast<double>(plan.per_epoch)));
  } else if (step == plan.total) {
    log_info(fmt::format("this run is finished: all {} steps are done; raise --epochs to go on",
                         human_count(plan.total)));
  } else {
    log_info(fmt::format("going on after step {} of {} (epoch {:.2f})", human_count(step),
                         human_count(plan.total), plan.epoch(step)));
  }
}

}  // namespace nestvit
