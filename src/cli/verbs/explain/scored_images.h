// The images of a data set one by one, as the model's input, for the modes of nestvit explain.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cli/verbs/explain/modes.h"
#include "data/dataset.h"
#include "explain/score/boxes.h"
#include "image/transform.h"
#include "report/score/score_report.h"

namespace nestvit::cli {

struct ModelImage {
  int64_t index = 0;  // in the data set
  std::string name;
  int label = -1;             // the model's class
  std::vector<float> values;  // [channels, S, S], normalised
  int height = 0, width = 0;  // of the image that it was made of
  View view;
};

class ScoredImages {
 public:
  // The data set's classes are matched with the model's. `preprocessing`: what to do instead of the
  // model's own.
  ScoredImages(const DataOptions& options, const LoadedModel& model, Preprocessing preprocessing);

  // Nothing where it cannot be read, which is said and counted.
  std::optional<ModelImage> read(int64_t index);
  int label(int64_t index) const;  // the model's class, without reading the image
  const std::vector<int64_t>& order() const { return order_; }
  int64_t unreadable() const { return unreadable_; }
  std::string text() const { return text_; }  // "photos (image folder, val)"
  // The boxes of an image; none where the table does not have it.
  std::span<const ObjectBox> boxes_of(const BoxTable& table, int64_t index) const;
  std::vector<float> black() const;  // of each channel, normalised

 private:
  Preprocessing preprocessing_;
  std::unique_ptr<Dataset> dataset_;
  std::vector<int> match_;
  std::vector<int64_t> order_;
  std::string text_;
  int64_t unreadable_ = 0;
};

// "about 1,200 forward passes, 85.0 images/s here: 0:14", said before the work.
std::string cost_text(double forwards, double images_per_second);

// Prints the report's tables, and writes its folder unless `directory` is "".
void give_report(const ScoreReport& report, const std::string& directory);

}  // namespace nestvit::cli
