// All scores of an image, method by method.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "explain/occlusion.h"
#include "explain/score/boxes.h"
#include "explain/score/games.h"
#include "explain/score/methods.h"
#include "image/transform.h"
#include "metrics/score_table.h"

namespace nestvit {

// What cells are replaced with in the games.
inline constexpr std::array<Fill, 2> kGameFills = {Fill::kMean, Fill::kBlur};

// Deletion, insertion and LeRF - MoRF with each substrate, by probability and by logit; the tree's
// two, muFidelity; with `boxes` the pointing games.
std::vector<Measure> image_measures(bool boxes);
std::vector<Measure> mosaic_measures(int edge);

// Where the objects are, and where the input lies on their image.
struct ObjectBoxes {
  std::span<const ObjectBox> boxes;
  View view;
};

struct ScoreInput {
  std::span<const float> image;  // [channels, S, S], normalised
  std::span<const float> black;  // of each channel, normalised
  int target = 0;                // the class
  uint64_t number = 0;           // of the image, for what is random
  std::optional<ObjectBoxes> objects;
};

struct ImageScores {
  std::vector<std::vector<double>> values;                  // [method][measure]
  std::vector<std::array<Games, kGameFills.size()>> games;  // [method][substrate]
};
// `with_boxes`: as image_measures(); NaN for an image without any.
ImageScores score_image(const MapContext& context, const ScoreInput& input,
                        const GameOptions& options, bool with_boxes);

// [method][measure] of a mosaic [channels, S, S] whose cells hold these classes: means over the
// classes for which a measure is defined. `input.target` is not read.
std::vector<std::vector<double>> score_mosaic(const MapContext& context, const ScoreInput& input,
                                              int edge, std::span<const int> classes);

// The mean over images of each method's curves: deletion and insertion for each substrate.
class MeanCurves {
 public:
  explicit MeanCurves(const std::vector<ScoredMethod>& methods);
  void add(const ImageScores& scores);
  std::vector<ScoreCurves> means() const;

 private:
  std::vector<ScoreCurves> sums_;
  int64_t images_ = 0;
};

// Forward passes that score_image() takes.
double score_forwards(std::span<const ScoredMethod> methods, const NestConfig& config,
                      const GameOptions& options);

}  // namespace nestvit
