// From a run's recipe and history to its page.
#include "run/record/page.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <iterator>

#include "base/log.h"
#include "image/transform.h"
#include "report/markup.h"
#include "run/recipe/resolve.h"

namespace nestvit {
namespace {

std::vector<std::pair<std::string, std::string>> facts_of(const Recipe& r, const StepPlan& plan,
                                                          const RunState& state) {
  return {{"model", fmt::format("{}, {} parameters", r.model_name,
                                human_count(parameter_count(architecture_of(r))))},
          {"input", fmt::format("{0} x {0}, {1} channels", r.input_size, r.in_channels)},
          {is_resnet(r.model_name) ? "stages" : "levels", describe(architecture_of(r))},
          {"data", r.data.dir.empty() ? r.dataset : r.data.dir},
          {"training images", human_count(state.train_size)},
          {"batch", human_count(state.batch_size)},
          {"steps", fmt::format("{} of {}, {} per epoch", human_count(state.step),
                                human_count(plan.total), human_count(plan.per_epoch))},
          {"weights", r.init_checkpoint.empty() ? "from scratch" : r.init_checkpoint},
          {"seed", fmt::format("{}", r.seed)}};
}

// Rows of summary.csv among the points of the log: the points of a step stand before its row.
std::vector<RunPoint> history_of(const RunSoFar& run) {
  std::vector<RunPoint> rows;
  for (const SummaryRow& row : run.state.history) {
    RunPoint point;
    point.epoch = row.epoch;
    point.step = row.step;
    point.train_loss = row.train_loss;
    point.val_loss = row.eval_loss;
    point.val_top1 = row.eval_top1;
    point.val_top5 = row.eval_top5;
    point.learning_rate = row.learning_rate;
    rows.push_back(point);
  }
  std::vector<RunPoint> history;
  std::merge(run.curve.begin(), run.curve.end(), rows.begin(), rows.end(),
             std::back_inserter(history),
             [](const RunPoint& a, const RunPoint& b) { return a.step < b.step; });
  return history;
}

// Without its picture when the image cannot be read any more: a page must not end a run.
AnsweredImage answered(const RunSoFar& run, const ShownImage& shown) {
  AnsweredImage card;
  card.title = run.images.name(shown.index);
  const std::string folder = (std::filesystem::path(run.recipe.data.dir) / "").string();
  if (!run.recipe.data.dir.empty() && card.title.starts_with(folder))
    card.title = card.title.substr(folder.size());
  card.truth = run.labels.at(shown.label);
  for (const auto& [answer, probability] : shown.answers)
    card.answers.push_back({run.labels.at(answer), probability});
  try {
    const Image image = decoded(run.images.get(shown.index), run.recipe.preprocessing);
    card.image = shrunk(image, kMaxPageImageSide);
  } catch (const Error&) {
  }
  return card;
}

}  // namespace

void write_report(const std::filesystem::path& workdir, const RunSoFar& run) {
  RunPage page;
  page.title = std::filesystem::absolute(workdir).lexically_normal().filename().string();
  page.status =
      run.state.step >= run.plan.total
          ? "finished"
          : fmt::format("step {} of {}", human_count(run.state.step), human_count(run.plan.total));
  page.facts = facts_of(run.recipe, run.plan, run.state);
  page.history = history_of(run);
  for (const ShownImage& sample : run.examples.samples())
    page.samples.push_back(answered(run, sample));
  for (const ShownImage& mistake : run.examples.mistakes())
    page.mistakes.push_back({answered(run, mistake), mistake.loss});
  page.labels = run.labels;
  page.confusion = run.metrics.confusion();
  page.skipped = run.state.skipped;
  write_run_page(workdir / "report.html", page);
}

}  // namespace nestvit
