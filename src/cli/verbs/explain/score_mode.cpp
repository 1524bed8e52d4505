// nestvit explain --score: every method over the images of a data set, and the report.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/log.h"
#include "cli/verbs/explain/modes.h"
#include "cli/verbs/explain/scored_images.h"
#include "explain/score/mosaic.h"
#include "explain/score/pointing.h"
#include "explain/score/sanity.h"
#include "explain/score/scorer.h"
#include "metrics/metrics.h"
#include "metrics/similarity.h"
#include "report/score/score_report.h"
#include "runtime/gradients.h"

namespace nestvit::cli {
namespace {

constexpr int kImages = 500;  // where --limit is left out
constexpr size_t kSanityImages = 20;

std::vector<std::string> names_of(const std::vector<ScoredMethod>& methods) {
  std::vector<std::string> names;
  for (const ScoredMethod& method : methods) names.push_back(method.name);
  return names;
}

int answer(std::span<const float> logits) {
  return static_cast<int>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

DataOptions limited(DataOptions data) {
  if (data.limit == 0) data.limit = kImages;
  return data;
}

class Scoring {
 public:
  Scoring(const ExplainModes& modes, const ModeInput& input)
      : modes_(modes),
        input_(input),
        config_(input.model.config),
        levels_(geometry(config_)),
        seed_(static_cast<uint64_t>(input.data.request.seed.value_or(42))),
        images_(limited(input.data), input.model, input.model.preprocessing),
        engine_(input.model, input.threads),
        head_(input.model.tensors.at("head.weight").to_f32()),
        context_{engine_, head_, score_methods(static_cast<int>(levels_.size()), modes.variants),
                 seed_},
        games_{modes.steps, input.batch_size},
        curves_(context_.methods),
        black_(images_.black()) {
    if (!modes.boxes.empty()) boxes_.emplace(BoxTable::read(modes.boxes));
    edge_ = modes.mosaic.empty() ? 0 : modes.mosaic == "2" ? 2 : 4;
    if (edge_ > 0) check_mosaics();
    table_ = {"scores",
              "Images",
              "",
              "images",
              image_measures(boxes_.has_value()),
              names_of(context_.methods),
              {},
              {}};
  }

  void run() {
    say_cost();
    score_images();
    if (edge_ > 0) score_mosaics();
    if (modes_.sanity) check_sanity();
    finish();
  }

 private:
  void check_mosaics() const;
  void say_cost() const;
  void score_images();
  void score_mosaics();
  void check_sanity();
  void random_logits(const std::vector<ScoredMethod>& methods);
  void add_class_means();
  void finish();
  std::vector<std::pair<std::string, std::string>> facts() const;
  double images_per_second() const;
  std::vector<std::vector<std::vector<double>>> sanity_maps(
      const LoadedModel& model, const std::vector<ScoredMethod>& methods);

  const ExplainModes& modes_;
  const ModeInput& input_;
  const NestConfig& config_;
  std::vector<Level> levels_;
  uint64_t seed_;
  ScoredImages images_;
  GradientEngine engine_;
  std::vector<float> head_;
  MapContext context_;
  GameOptions games_;
  MeanCurves curves_;
  std::vector<float> black_;
  std::optional<BoxTable> boxes_;
  int edge_ = 0;  // of mosaics, in cells

  struct Scored {
    int64_t index;      // in the data set
    int target, label;  // the class that was explained, and the true one
  };
  std::vector<Scored> scored_;
  int64_t wrong_ = 0, with_boxes_ = 0, mosaics_within_reach_ = 0;
  ScoreTable table_;
  std::vector<ScoreTable> tables_;
  std::vector<PlainTable> others_;
};

void Scoring::check_mosaics() const {
  const int leaves = levels_.front().grid;
  if (edge_ > leaves)
    throw UsageError(fmt::format("--mosaic {}: the tree of {} has {} x {} leaves", edge_,
                                 config_.variant, leaves, leaves),
                     "a mosaic's cells are blocks of the tree");
  std::vector<int> labels;
  for (const int64_t index : images_.order()) labels.push_back(images_.label(index));
  mosaic_picks(labels, edge_, 1, seed_);  // throws where there are too few classes
}

double Scoring::images_per_second() const {
  const size_t picture =
      static_cast<size_t>(config_.in_channels) * config_.image_size * config_.image_size;
  const std::vector<float> images(picture * input_.batch_size);
  engine_.logits(images, input_.batch_size);  // the first call packs and warms up
  const auto start = std::chrono::steady_clock::now();
  engine_.logits(images, input_.batch_size);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return input_.batch_size / std::max(seconds.count(), 1e-6);
}

void Scoring::say_cost() const {
  const auto images = static_cast<double>(images_.order().size());
  double forwards = images * (1 + score_forwards(context_.methods, config_, games_));
  if (edge_ > 0)
    forwards += std::ceil(images / (edge_ * edge_)) *
                method_forwards(context_.methods, levels_, edge_ * edge_, false);
  if (modes_.sanity)
    forwards += static_cast<double>(parts_from_head(config_).size()) * SanityOptions{}.seeds *
                static_cast<double>(kSanityImages) * 5.4;
  log_info(fmt::format("{} images, {} methods, {}; images that the model gets wrong cost nothing",
                       images_.order().size(), context_.methods.size(),
                       cost_text(forwards, images_per_second())));
}

void Scoring::score_images() {
  Progress progress("score", static_cast<int64_t>(images_.order().size()));
  int64_t done = 0;
  for (const int64_t index : images_.order()) {
    progress.update(done++, fmt::format("{} scored, {} wrong", scored_.size(), wrong_));
    const std::optional<ModelImage> image = images_.read(index);
    if (!image) continue;
    const int target = answer(engine_.logits(image->values, 1));
    if (target != image->label && !modes_.all_images) {
      ++wrong_;
      continue;
    }
    ScoreInput what{image->values, black_, target, static_cast<uint64_t>(index), {}};
    if (boxes_) {
      what.objects = ObjectBoxes{images_.boxes_of(*boxes_, index), image->view};
      with_boxes_ += what.objects->boxes.empty() ? 0 : 1;
    }
    const ImageScores scores = score_image(context_, what, games_, boxes_.has_value());
    table_.add(image->name, scores.values);
    curves_.add(scores);
    scored_.push_back({index, target, image->label});
  }
  progress.finish(fmt::format("{} scored, {} wrong", scored_.size(), wrong_));
  if (scored_.empty())
    throw Error(fmt::format("none of {} images can be scored: the model gets {} wrong, and {} "
                            "cannot be read",
                            images_.order().size(), wrong_, images_.unreadable()),
                wrong_ > 0 ? "--all-images scores them all" : "");
  if (boxes_ && with_boxes_ == 0)
    throw Error(fmt::format("{} has boxes of {} images, and none of them was scored", modes_.boxes,
                            boxes_->images()),
                fmt::format("an image of the data is called {}", table_.names.front()));
}

void Scoring::score_mosaics() {
  std::vector<int> labels;
  for (const Scored& scored : scored_) labels.push_back(scored.label);
  if (std::set<int>(labels.begin(), labels.end()).size() < static_cast<size_t>(edge_) * edge_) {
    log_warning("no mosaics: too few of the classes have an image that the model gets right");
    return;
  }
  const int cells = edge_ * edge_;
  const int count = (static_cast<int>(scored_.size()) + cells - 1) / cells;
  const auto picks = mosaic_picks(labels, edge_, count, seed_);
  ScoreTable table{"mosaics",
                   fmt::format("Mosaics of {0} x {0}", edge_),
                   "",
                   "mosaics",
                   mosaic_measures(edge_),
                   table_.methods,
                   {},
                   {}};
  Progress progress("mosaics", count);
  for (int m = 0; m < count; ++m) {
    std::vector<std::vector<float>> parts;
    std::vector<int> classes;
    for (const int64_t pick : picks[m]) {
      std::optional<ModelImage> image = images_.read(scored_[pick].index);
      if (!image) throw Error("an image of a mosaic can no longer be read");
      parts.push_back(std::move(image->values));
      classes.push_back(labels[pick]);
    }
    const std::vector<float> whole = mosaic(parts, config_.in_channels, config_.image_size, edge_);
    mosaics_within_reach_ += within_reach(engine_.logits(whole, 1), classes) ? 1 : 0;
    const auto scores =
        score_mosaic(context_, {whole, black_, 0, static_cast<uint64_t>(m), {}}, edge_, classes);
    table.add(fmt::format("mosaic {}", m), scores);
    progress.update(m + 1, "");
  }
  progress.finish();
  table.note = fmt::format(
      "Each class of a mosaic is explained in turn; a mosaic counts with the mean over its "
      "classes. "
      "In {:.1f} % of {} mosaics all classes are among the model's ten best answers: where few "
      "are, "
      "the test is out of its reach.",
      100.0 * static_cast<double>(mosaics_within_reach_) / count, count);
  tables_.push_back(std::move(table));
}

std::vector<std::vector<std::vector<double>>> Scoring::sanity_maps(
    const LoadedModel& model, const std::vector<ScoredMethod>& methods) {
  const GradientEngine engine(model, input_.threads);
  const std::vector<float> head = model.tensors.at("head.weight").to_f32();
  const MapContext context{engine, head, methods, seed_};
  const Grid grid = score_grid(config_);
  std::vector<std::vector<std::vector<double>>> maps(methods.size());
  for (size_t i = 0; i < std::min(scored_.size(), kSanityImages); ++i) {
    const std::optional<ModelImage> image = images_.read(scored_[i].index);
    if (!image) continue;
    const auto of_class =
        method_maps(context, {image->values, {}, i, false}, {&scored_[i].target, 1});
    for (size_t m = 0; m < methods.size(); ++m)
      maps[m].push_back(on_grid(of_class[0].methods[m].map, grid));
  }
  return maps;
}

// Maps of the model's answer against maps of its least probable class.
void Scoring::random_logits(const std::vector<ScoredMethod>& methods) {
  const MapContext context{engine_, head_, methods, seed_};
  const Grid grid = score_grid(config_);
  std::vector<std::vector<double>> likeness(methods.size());
  for (size_t i = 0; i < std::min(scored_.size(), kSanityImages); ++i) {
    const std::optional<ModelImage> image = images_.read(scored_[i].index);
    if (!image) continue;
    const std::vector<float> logits = engine_.logits(image->values, 1);
    const auto least = std::min_element(logits.begin(), logits.end()) - logits.begin();
    const std::vector<int> classes = {scored_[i].target, static_cast<int>(least)};
    const auto maps = method_maps(context, {image->values, {}, i, false}, classes);
    for (size_t m = 0; m < methods.size(); ++m)
      likeness[m].push_back(
          spearman(on_grid(maps[0].methods[m].map, grid), on_grid(maps[1].methods[m].map, grid)));
  }
  PlainTable table{"random_logit",
                   "Sanity: the most and the least probable class",
                   "Rank correlation of a method's maps of the two classes, mean over images. Near "
                   "1: the map hardly depends on the class.",
                   {"method", "Spearman"},
                   {}};
  for (size_t m = 0; m < methods.size(); ++m)
    table.rows.push_back(
        {methods[m].name, fmt::format("{:.3f}", estimated(likeness[m], {.resamples = 1}).mean)});
  others_.push_back(std::move(table));
}

void Scoring::check_sanity() {
  std::vector<ScoredMethod> methods;
  for (const ScoredMethod& method : context_.methods)
    if (method.kind < RowKind::kOcclusion) methods.push_back(method);
  std::optional<Progress> progress;
  const SanityOptions options{.seed = seed_, .progress = [&](int64_t done, int64_t all) {
                                if (!progress) progress.emplace("sanity", all);
                                progress->update(done, "");
                              }};
  const std::vector<SanityRow> rows = sanity(
      input_.model, [&](const LoadedModel& model) { return sanity_maps(model, methods); }, options);
  if (progress) progress->finish();
  PlainTable table{
      "sanity",
      "Sanity: parameters drawn anew, from the head down",
      fmt::format(
          "Likeness to the maps of the model as trained, mean over {} images and {} draws: "
          "rank correlation of values, of magnitudes, structural similarity. It finds bugs; "
          "it ranks nothing: noisy maps do well, and drawing from the top keeps the scale "
          "of activations.",
          std::min(scored_.size(), kSanityImages), options.seeds),
      {"drawn anew, down to"},
      {}};
  for (const ScoredMethod& method : methods) table.header.push_back(method.name);
  for (const SanityRow& row : rows) {
    std::vector<std::string> line = {row.part};
    for (const SanityScore& score : row.methods)
      line.push_back(fmt::format("{:.2f} / {:.2f} / {:.2f}", score.spearman,
                                 score.spearman_of_magnitudes, score.similarity));
    table.rows.push_back(std::move(line));
  }
  others_.push_back(std::move(table));
  random_logits(methods);
}

// TorchRay averages the pointing game over classes.
void Scoring::add_class_means() {
  const auto measure = std::find_if(table_.measures.begin(), table_.measures.end(),
                                    [](const Measure& m) { return m.key == "pointing"; });
  if (measure == table_.measures.end()) return;
  PlainTable table{"pointing_by_class",
                   "Pointing game, mean over classes",
                   "hits/(hits + misses) of each class that has boxes, averaged over classes, as "
                   "TorchRay does; the table above averages over images.",
                   {"method", "mean over classes", "classes"},
                   {}};
  const auto k = static_cast<size_t>(measure - table_.measures.begin());
  const BootstrapOptions options{.seed = seed_};
  for (size_t m = 0; m < table_.methods.size(); ++m) {
    const std::vector<double>& hits = table_.values[k][m];
    const auto mean_of = [&](std::span<const int64_t> drawn) {
      std::map<int, std::pair<double, int>> by_class;  // hits, images
      for (const int64_t i : drawn)
        if (std::isfinite(hits[i])) {
          by_class[scored_[i].target].first += hits[i];
          ++by_class[scored_[i].target].second;
        }
      double sum = 0;
      for (const auto& [label, of_class] : by_class) sum += of_class.first / of_class.second;
      return sum / static_cast<double>(by_class.size());
    };
    std::vector<int64_t> all;
    for (int64_t i = 0; i < std::ssize(scored_); ++i) all.push_back(i);
    const Interval interval = bootstrap_interval(std::ssize(all), mean_of, options);
    table.rows.push_back({table_.methods[m], fmt::format("{:.3f} [{:.3f}, {:.3f}]", mean_of(all),
                                                         interval.low, interval.high)});
  }
  others_.insert(others_.begin(), std::move(table));
}

std::vector<std::pair<std::string, std::string>> Scoring::facts() const {
  const Grid grid = score_grid(config_);
  std::vector<std::pair<std::string, std::string>> facts = {
      {"model", fmt::format("{} ({})", input_.model.origin, config_.variant)},
      {"data", images_.text()},
      {"images scored", fmt::format("{} of {}", scored_.size(), images_.order().size())},
      {"left out", fmt::format("{} that the model gets wrong{}, {} that cannot be read",
                               modes_.all_images ? 0 : wrong_,
                               modes_.all_images ? " (--all-images)" : "", images_.unreadable())},
      {"class explained", "the model's answer"},
      {"deletion and insertion",
       fmt::format(
           "{} steps over a grid of {} x {} cells of {} px; substrates: the mean colour, and "
           "a blur of the image (Gaussian, 11 px wide, sigma 5)",
           std::min(modes_.steps, grid.cells()), grid.side, grid.side, grid.cell)},
      {"masks of the tree", "whole blocks, in the mean colour"},
      {"map of a tree",
       "level 1's, whose sums over the blocks of level 0 score the leaves; methods "
       "without a tree go to the quadrant with the largest sum"},
      {"controls",
       "random: cells in a seeded order; centre: a Gaussian, sigma a quarter of the "
       "image; edges: Sobel"},
      {"resamples", fmt::format("{}, seed {}", BootstrapOptions{}.resamples, seed_)}};
  if (boxes_)
    facts.emplace_back(
        "boxes",
        fmt::format("{} ({} images, {} boxes); {} of the images scored have some; pointing "
                    "allows {:.1f} px of the original image",
                    modes_.boxes, boxes_->images(), boxes_->boxes(), with_boxes_,
                    kPointingTolerance * config_.image_size / 224));
  return facts;
}

const std::vector<std::string>& traps() {
  static const std::vector<std::string> all = {
      "Masked images are unlike what the model was trained on, and the shape of a mask is a cue of "
      "its own. Hence two substrates, and the paired difference to random cells.",
      "Smooth maps gain from removal whatever they mean: compare with the centre.",
      "Probability saturates: compare with the logit.",
      "A map can be faithful and miss the object, or hit it because objects are in the middle: "
      "mosaics, masking and boxes ask different questions.",
      "occlusion finds its path by the masking that the path is scored by.",
  };
  return all;
}

void Scoring::finish() {
  if (boxes_) add_class_means();
  ScoreReport report;
  report.title = fmt::format("Scores of explanations: {}", config_.variant);
  report.facts = facts();
  table_.title = fmt::format("{} images", scored_.size());
  report.tables.push_back(std::move(table_));
  for (ScoreTable& table : tables_) report.tables.push_back(std::move(table));
  report.curves = curves_.means();
  report.others = std::move(others_);
  report.notes = traps();
  report.bootstrap.seed = seed_;
  give_report(report, modes_.report);
}

}  // namespace

int run_explain_score(const ExplainModes& modes, const ModeInput& input) {
  Scoring(modes, input).run();
  return 0;
}

}  // namespace nestvit::cli
