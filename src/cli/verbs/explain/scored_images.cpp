// Reads, prepares and matches.
#include "cli/verbs/explain/scored_images.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include "base/log.h"
#include "cli/model/match_classes.h"
#include "cli/model/open_data.h"
#include "cli/program/standard_output.h"

namespace nestvit::cli {

ScoredImages::ScoredImages(const DataOptions& options, const LoadedModel& model,
                           Preprocessing preprocessing)
    : preprocessing_(std::move(preprocessing)) {
  EvaluationData data = open_data(options, model);
  dataset_ = std::move(data.images);
  match_ = match_classes(*dataset_, model);
  order_ = options.order(*dataset_);
  text_ = fmt::format("{} ({}, {})", options.text(), dataset_->kind(), data.part);
}

std::optional<ModelImage> ScoredImages::read(int64_t index) {
  ModelImage image;
  image.index = index;
  image.name = dataset_->name(index);
  try {
    Sample sample = dataset_->get(index);
    Sample raw;
    raw.image = decoded(sample, preprocessing_);
    raw.name = sample.name;
    image.height = raw.image.height;
    image.width = raw.image.width;
    const Pixels pixels = evaluation_pixels(raw, preprocessing_);
    image.values.resize(pixels.values.size());
    normalise(pixels, preprocessing_, image.values);
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    ++unreadable_;
    log_warning(fmt::format("skipped: {}: {}", image.name, error.what()));
    return std::nullopt;
  }
  image.label = label(index);
  image.view = evaluation_view(image.height, image.width, preprocessing_);
  return image;
}

int ScoredImages::label(int64_t index) const {
  return match_.at(static_cast<size_t>(dataset_->label(index)));
}

std::span<const ObjectBox> ScoredImages::boxes_of(const BoxTable& table, int64_t index) const {
  const auto by_key = table.find(dataset_->key(index));
  return by_key.empty() ? table.find(dataset_->name(index)) : by_key;
}

std::vector<float> ScoredImages::black() const {
  std::vector<float> values;
  for (size_t c = 0; c < preprocessing_.mean.size(); ++c)
    values.push_back(static_cast<float>(-preprocessing_.mean[c] / preprocessing_.std[c]));
  return values;
}

std::string cost_text(double forwards, double images_per_second) {
  return fmt::format("about {} forward passes, {:.1f} images/s here: {}",
                     human_count(static_cast<int64_t>(forwards)), images_per_second,
                     human_duration(forwards / images_per_second));
}

void give_report(const ScoreReport& report, const std::string& directory) {
  fmt::print("{}", score_markdown(report));
  flush_output();
  if (directory.empty()) return;
  log_info(fmt::format("wrote {} to {}", write_score_report(directory, report), directory));
}

}  // namespace nestvit::cli
