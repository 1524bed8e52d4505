// One evaluation of given weights, instead of a run.
#include <fmt/format.h>
#include <nestvit/error.h>

#include "base/log.h"
#include "run/recipe/finetune.h"
#include "run/recipe/resolve.h"
#include "run/record/checkpoint.h"
#include "run/record/log.h"
#include "train/device/device.h"
#include "train/device/process_setup.h"
#include "train/evaluation.h"
#include "train/group/backend.h"
#include "train/network/tensors.h"
#include "train/trainer.h"

namespace nestvit::train {

int evaluate_only(const Recipe& recipe, const Dataset& val_set, const TrainOptions& options) {
  const TensorMap tensors = starting_tensors(recipe, options.weights);
  const Group& group = *options.group;
  if (group.first()) refuse_used(options.workdir);
  prepare_process(options.threads);
  const torch::Device device = open_device(options.device, recipe.amp);
  choose_backend_of_all(group, device);
  const std::shared_ptr<Network> net = make_network(architecture_of(recipe));
  net->to(device);
  load_tensors(*net, tensors);
  const auto evaluation = evaluate_all(
      *net, val_set, recipe,
      {options.workers, options.stop, class_indices(val_set.classes(), *options.weights)}, group);
  if (!evaluation) return group.highest_of_all(options.stop());
  if (!group.first()) return 0;

  make_workdir(options.workdir);
  RunLog log(options.workdir);
  for (const auto& [image, reason] : evaluation->skipped)
    log.write("skipped", {{"image", image}, {"reason", reason}});
  log_evaluation(log, 0, 0, *evaluation);
  SummaryRow row;
  row.eval_loss = evaluation->loss;
  row.eval_top1 = evaluation->top1;
  row.eval_top5 = evaluation->top5;
  write_summary(options.workdir, {row});
  // The reference's line, for scripts that look for it.
  log_info(fmt::format("[0] accuracy={:.6f}, eval_loss={:.6f}", evaluation->top1 / 100,
                       evaluation->loss));
  log_info(fmt::format("val top-1 {:.2f} %  top-5 {:.2f} %  loss {:.4f}  ({} images, {})",
                       evaluation->top1, evaluation->top5, evaluation->loss,
                       human_count(evaluation->images), human_duration(evaluation->seconds)));
  return 0;
}

}  // namespace nestvit::train
