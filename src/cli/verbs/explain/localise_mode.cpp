// nestvit explain --localise: boxes from maps, by two protocols.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "cli/verbs/explain/modes.h"
#include "cli/verbs/explain/scored_images.h"
#include "explain/score/localise.h"
#include "explain/score/methods.h"
#include "runtime/gradients.h"

namespace nestvit::cli {
namespace {

constexpr double kEnough = 0.5;  // IoU of cvpr16

// As wsolevaluation: the whole image, squashed.
Preprocessing whole_image(Preprocessing preprocessing) {
  preprocessing.resampler = Resampler::kPil;
  preprocessing.crop_mode = CropMode::kSquash;
  preprocessing.crop_pct = 1;
  return preprocessing;
}

std::vector<ScoredMethod> map_methods(int levels) {
  std::vector<ScoredMethod> methods;
  for (const ScoredMethod& method : score_methods(levels))
    if (method.kind != RowKind::kOcclusion && method.kind != RowKind::kEdges &&
        method.site == Site::kInput)
      methods.push_back(method);
  return methods;
}

// What one set of images gives.
struct Localised {
  std::string text;  // the set, for people
  std::vector<std::string> names;
  std::vector<double> right;                  // of the answer, per image
  std::vector<std::vector<double>> gt_known;  // cvpr16: [method][image]
  std::vector<MaxBoxAcc> boxes;               // [method]
  int64_t all = 0, without_boxes = 0, unreadable = 0;
};

class Localising {
 public:
  Localising(const ExplainModes& modes, const ModeInput& input)
      : modes_(modes),
        input_(input),
        config_(input.model.config),
        table_(BoxTable::read(modes.boxes)),
        engine_(input.model, input.threads),
        head_(input.model.tensors.at("head.weight").to_f32()),
        context_{engine_, head_, map_methods(static_cast<int>(config_.num_layers_per_block.size())),
                 static_cast<uint64_t>(input.data.request.seed.value_or(42))} {}

  void run() {
    const bool sweeps = modes_.protocol != "cvpr16";
    std::optional<Localised> chooser;
    if (!modes_.threshold_from.empty()) {
      if (!sweeps)
        throw UsageError("--threshold-from is for --protocol maxboxacc: cvpr16's threshold is 0.2");
      chooser = localised(threshold_data(), "threshold");
    }
    const Localised found = localised(input_.data, "localise");
    ScoreReport report;
    report.title = fmt::format("Localisation by maps: {}", config_.variant);
    report.facts = facts(found);
    if (modes_.protocol != "maxboxacc") report.tables.push_back(cvpr16(found));
    if (sweeps) {
      const Localised& from = chooser ? *chooser : found;
      report.tables.push_back(maxboxacc(found, from));
      report.others.push_back(thresholds(found, from));
    }
    report.bootstrap.seed = context_.seed;
    give_report(report, modes_.report);
  }

 private:
  // SET: a folder, or a part of the same data.
  DataOptions threshold_data() const {
    DataOptions data = input_.data;
    std::error_code error;
    if (std::filesystem::is_directory(modes_.threshold_from, error)) {
      data.data_dir = modes_.threshold_from;
      data.request.split.clear();
    } else {
      data.request.split = modes_.threshold_from;
    }
    return data;
  }

  Localised localised(const DataOptions& data, const std::string& progress) const;
  void add(const ModelImage& image, std::span<const ObjectBox> boxes, Localised& result) const;
  ScoreTable empty_table(const std::string& key, const std::string& title) const;
  ScoreTable cvpr16(const Localised& found) const;
  ScoreTable maxboxacc(const Localised& found, const Localised& from) const;
  PlainTable thresholds(const Localised& found, const Localised& from) const;
  std::vector<std::pair<std::string, std::string>> facts(const Localised& found) const;

  const ExplainModes& modes_;
  const ModeInput& input_;
  const NestConfig& config_;
  BoxTable table_;
  GradientEngine engine_;
  std::vector<float> head_;
  MapContext context_;
};

void Localising::add(const ModelImage& image, std::span<const ObjectBox> boxes,
                     Localised& result) const {
  const int size = config_.image_size;
  std::vector<ObjectBox> truth;
  for (const ObjectBox& box : boxes)
    truth.push_back(squashed(box, image.height, image.width, size));
  const std::vector<float> logits = engine_.logits(image.values, 1);
  const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
  result.names.push_back(image.name);
  result.right.push_back(best == image.label);
  const auto maps = method_maps(
      context_, {image.values, {}, static_cast<uint64_t>(image.index), false}, {&image.label, 1});
  for (size_t m = 0; m < context_.methods.size(); ++m) {
    const std::vector<double> map = enlarged(maps[0].methods[m].map, size);
    const std::optional<ObjectBox> box = cvpr16_box(map, size);
    result.gt_known[m].push_back(box && best_iou(*box, truth) >= kEnough ? 1 : 0);
    std::vector<double> ious;
    for (const ObjectBox& swept : maxboxacc_boxes(scaled_to_bytes(map), size, size))
      ious.push_back(best_iou(swept, truth));
    result.boxes[m].add(ious);
  }
}

Localised Localising::localised(const DataOptions& data, const std::string& progress) const {
  ScoredImages images(data, input_.model, whole_image(input_.model.preprocessing));
  Localised result;
  result.text = images.text();
  result.all = std::ssize(images.order());
  result.gt_known.resize(context_.methods.size());
  result.boxes.resize(context_.methods.size());
  log_info(fmt::format("{}: {} images, each as much work as {:.1f} forward passes", result.text,
                       result.all,
                       1 + method_forwards(context_.methods, geometry(config_), 1, false)));
  Progress bar(progress, result.all);
  int64_t done = 0;
  for (const int64_t index : images.order()) {
    bar.update(done++, "");
    const std::span<const ObjectBox> boxes = images.boxes_of(table_, index);
    if (boxes.empty()) {
      ++result.without_boxes;
      continue;
    }
    if (const std::optional<ModelImage> image = images.read(index)) add(*image, boxes, result);
  }
  bar.finish();
  result.unreadable = images.unreadable();
  if (result.names.empty())
    throw Error(fmt::format("{} has boxes of {} images, and none of the {} images of {}",
                            modes_.boxes, table_.images(), result.all, result.text),
                "paths are compared from their end: cat/1.jpg is found as val/cat/1.jpg");
  return result;
}

ScoreTable Localising::empty_table(const std::string& key, const std::string& title) const {
  ScoreTable table{key, title, "", "images", {}, {}, {}, {}};
  for (const ScoredMethod& method : context_.methods) table.methods.push_back(method.name);
  return table;
}

ScoreTable Localising::cvpr16(const Localised& found) const {
  ScoreTable table = empty_table("cvpr16", "Protocol cvpr16");
  table.note = fmt::format(
      "The map divided by its maximum, pixels of at least {} of it, the box of the largest "
      "8-connected region (by pixels); right with IoU of at least {} with any box of the image. "
      "GT-known: the map of the true class. Top-1 localisation: the answer must be right, too.",
      kCvpr16Threshold, kEnough);
  table.measures = {{"gt_known", "GT-known localisation", true, {}},
                    {"top1_loc", "Top-1 localisation", true, {}}};
  for (size_t i = 0; i < found.names.size(); ++i) {
    std::vector<std::vector<double>> scores;
    for (const std::vector<double>& hits : found.gt_known)
      scores.push_back({hits[i], hits[i] * found.right[i]});
    table.add(found.names[i], scores);
  }
  return table;
}

ScoreTable Localising::maxboxacc(const Localised& found, const Localised& from) const {
  ScoreTable table = empty_table("maxboxacc", "Protocol maxboxacc");
  table.note = fmt::format(
      "As wsolevaluation: the map of the true class, enlarged bicubically, scaled to 0 ... 255 by "
      "minimum and maximum; pixels strictly above the threshold, the box of the largest "
      "8-connected "
      "region (by pixels). The thresholds are those that are best on {}.",
      &found == &from ? "these same images, which flatters" : from.text);
  for (const double iou : kBoxIous)
    table.measures.push_back({fmt::format("iou_{:.1f}", iou),
                              fmt::format("Right with IoU of at least {:.1f}", iou),
                              true,
                              {}});
  table.measures.push_back({"mean", "Mean over the three", true, {}});
  // [method][measure][image]
  std::vector<std::vector<std::vector<double>>> hits;
  for (size_t m = 0; m < table.methods.size(); ++m) {
    auto& of_method = hits.emplace_back();
    for (int k = 0; k < static_cast<int>(kBoxIous.size()); ++k)
      of_method.push_back(found.boxes[m].hits(k, from.boxes[m].best(k)));
  }
  for (size_t i = 0; i < found.names.size(); ++i) {
    std::vector<std::vector<double>> scores;
    for (const auto& of_method : hits) {
      const double a = of_method[0][i], b = of_method[1][i], c = of_method[2][i];
      scores.push_back({a, b, c, (a + b + c) / 3});
    }
    table.add(found.names[i], scores);
  }
  return table;
}

PlainTable Localising::thresholds(const Localised& found, const Localised& from) const {
  PlainTable table{"thresholds",
                   "Thresholds of maxboxacc",
                   fmt::format("Shares of the map's range that are best on {}.",
                               &found == &from ? "the images measured" : from.text),
                   {"method"},
                   {}};
  for (const double iou : kBoxIous) table.header.push_back(fmt::format("for IoU {:.1f}", iou));
  for (size_t m = 0; m < context_.methods.size(); ++m) {
    std::vector<std::string> row = {context_.methods[m].name};
    for (int k = 0; k < static_cast<int>(kBoxIous.size()); ++k)
      row.push_back(fmt::format("{:.3f}", from.boxes[m].best(k) * 0.001));
    table.rows.push_back(std::move(row));
  }
  return table;
}

std::vector<std::pair<std::string, std::string>> Localising::facts(const Localised& found) const {
  double right = 0;
  for (const double answer : found.right) right += answer;
  return {{"model", fmt::format("{} ({})", input_.model.origin, config_.variant)},
          {"data", found.text},
          {"images measured", fmt::format("{} of {}", found.names.size(), found.all)},
          {"left out", fmt::format("{} without a box, {} that cannot be read", found.without_boxes,
                                   found.unreadable)},
          {"boxes",
           fmt::format("{} ({} images, {} boxes)", modes_.boxes, table_.images(), table_.boxes())},
          {"input", fmt::format("the whole image squashed to {0} x {0}, whatever the model's own "
                                "preprocessing crops",
                                config_.image_size)},
          {"top-1 accuracy then",
           fmt::format("{:.2f} %", 100 * right / static_cast<double>(found.names.size()))},
          {"seed", fmt::format("{}", context_.seed)}};
}

}  // namespace

int run_explain_localise(const ExplainModes& modes, const ModeInput& input) {
  Localising(modes, input).run();
  return 0;
}

}  // namespace nestvit::cli
