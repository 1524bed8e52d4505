// Weights in, one row out.
#include "train/eval_only.h"

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
#include "weights/labels/labels.h"

namespace nestvit::train {

int evaluate_only(const Recipe& recipe, const Dataset& val_set, const TrainOptions& options) {
  const TensorMap tensors = starting_tensors(recipe, options.weights, val_set.classes());
  const Group& group = *options.group;
  if (group.is_root()) refuse_used(options.workdir);
  set_up_process(options.threads);
  const torch::Device device = open_device(options.device, recipe.amp);
  choose_backend(group, device);
  const std::shared_ptr<Network> net = make_network(architecture_of(recipe));
  net->to(device);
  load_tensors(*net, tensors);
  // Where the weights do not know a class by name, all go by their order.
  const std::vector<int> match =
      classes_by_name(val_set.classes(), *options.weights).value_or(std::vector<int>());
  const auto evaluation =
      evaluate(*net, val_set, recipe, {options.workers, options.stop, match}, group);
  if (!evaluation) return group.all_reduce_max(options.stop());
  if (!group.is_root()) return 0;

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
