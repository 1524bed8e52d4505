// From a run's recipe and history to its page.
#include "train/run_page.h"

#include <fmt/format.h>

#include "base/log.h"
#include "report/page.h"

namespace nestvit::train {
namespace {

std::vector<std::pair<std::string, std::string>> facts_of(const Recipe& r, const StepPlan& plan,
                                                          const RunState& state) {
  return {{"model", fmt::format("{}, {} parameters", r.model_name,
                                human_count(parameter_count(network(r))))},
          {"input", fmt::format("{0} x {0}, {1} channels", r.input_size, r.in_channels)},
          {is_resnet(r.model_name) ? "stages" : "levels", describe(network(r))},
          {"data", r.data.dir.empty() ? r.dataset : r.data.dir},
          {"training images", human_count(state.train_size)},
          {"batch", human_count(state.batch_size)},
          {"steps", fmt::format("{} of {}, {} per epoch", human_count(state.step),
                                human_count(plan.total), human_count(plan.per_epoch))},
          {"weights", r.init_checkpoint.empty() ? "from scratch" : r.init_checkpoint},
          {"seed", fmt::format("{}", r.seed)}};
}

}  // namespace

void write_report(const std::filesystem::path& workdir, const Recipe& recipe, const StepPlan& plan,
                  const RunState& state) {
  RunPage page;
  page.title = std::filesystem::absolute(workdir).lexically_normal().filename().string();
  page.status = state.step >= plan.total ? "finished"
                                         : fmt::format("step {} of {}", human_count(state.step),
                                                       human_count(plan.total));
  page.facts = facts_of(recipe, plan, state);
  for (const SummaryRow& row : state.history) {
    RunPoint point;
    point.epoch = row.epoch;
    point.step = row.step;
    point.train_loss = row.train_loss;
    point.val_loss = row.eval_loss;
    point.val_top1 = row.eval_top1;
    point.val_top5 = row.eval_top5;
    point.learning_rate = row.learning_rate;
    page.history.push_back(point);
  }
  page.skipped = state.skipped;
  write_run_page(workdir / "report.html", page);
}

}  // namespace nestvit::train
