// The columns of the tables, and their values.
#include "explain/score/scorer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "explain/score/mosaic.h"
#include "explain/score/pointing.h"
#include "explain/score/tree_faithfulness.h"

namespace nestvit {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();
constexpr std::array<const char*, kGameFills.size()> kFillKeys = {"mean", "blur"};
constexpr std::array<const char*, kGameFills.size()> kFillNames = {"the mean colour", "a blur"};

// A mean over what is defined.
struct DefinedMean {
  double sum = 0;
  int count = 0;
  void add(double value) {
    if (!std::isfinite(value)) return;
    sum += value;
    ++count;
  }
  double get() const { return count > 0 ? sum / count : kUndefined; }
};

std::vector<double> game_values(const std::array<Games, kGameFills.size()>& games) {
  std::vector<double> values;
  for (std::vector<double> Curve::*measure : {&Curve::probability, &Curve::logit}) {
    for (const Games& pair : games)
      values.push_back(area(pair.deletion.share, pair.deletion.*measure));
    for (const Games& pair : games)
      values.push_back(area(pair.insertion.share, pair.insertion.*measure));
    for (const Games& pair : games) {
      const LerfMorf difference = lerf_less_morf(pair);
      values.push_back(measure == &Curve::probability ? difference.probability : difference.logit);
    }
  }
  return values;
}

// A map's values must divide the input for the pointing games: pixels and cells of a NesT do.
void add_pointing(const CellMap& map, const ScoreInput& input, int size,
                  std::vector<double>& values) {
  Pointing result{kUndefined, kUndefined, kUndefined};
  if (input.objects && !input.objects->boxes.empty())
    result = pointing(map, input.objects->boxes, input.objects->view, size);
  values.insert(values.end(), {result.hit, result.energy, result.area});
}

void add_curve(const Curve& curve, ScoreCurve& sum) {
  sum.share = curve.share;
  sum.probability.resize(curve.share.size());
  sum.logit.resize(curve.share.size());
  for (size_t i = 0; i < curve.share.size(); ++i) {
    sum.probability[i] += curve.probability[i];
    sum.logit[i] += curve.logit[i];
  }
}

}  // namespace

std::vector<Measure> image_measures(bool boxes) {
  std::vector<Measure> measures;
  const auto add = [&](const std::string& key, const std::string& name, const std::string& what,
                       bool higher) {
    for (size_t f = 0; f < kGameFills.size(); ++f)
      measures.push_back({key + "_" + kFillKeys[f] + "_" + what,
                          name + kFillNames[f] + ", area under the " + what,
                          higher,
                          {}});
  };
  for (const char* what : {"probability", "logit"}) {
    add("deletion", "Deletion to ", what, false);
    add("insertion", "Insertion from ", what, true);
    add("lerf_morf", "LeRF - MoRF with ", what, true);
  }
  measures.push_back(
      {"leaf_rank", "Rank of the path's leaf by masking (1: no leaf costs more)", true, 0.5});
  measures.push_back({"steps_agreeing", "Steps of the path that masking agrees with", true, 0.25});
  measures.push_back({"mu_fidelity",
                      "muFidelity: rank correlation of sums over sets of blocks with "
                      "the logit lost without them",
                      true, 0.0});
  if (boxes) {
    measures.push_back({"pointing", "Pointing game", true, {}});
    measures.push_back({"energy", "Energy pointing game", true, {}});
    measures.push_back(
        {"box_area", "Share of the input in boxes: the energy of a constant map", true, {}});
  }
  return measures;
}

std::vector<Measure> mosaic_measures(int edge) {
  const double chance = 1.0 / (edge * edge);
  return {{"mass_in_cell", "Positive mass in the class's cell", true, chance},
          {"argmax_in_cell", "Largest value in the class's cell", true, chance},
          {"path_in_cell", "Path into the class's cell", true, chance}};
}

ImageScores score_image(const MapContext& context, const ScoreInput& input,
                        const GameOptions& options, bool with_boxes) {
  const NestConfig& config = context.engine.config();
  const Grid grid = score_grid(config);
  std::array<std::vector<float>, kGameFills.size()> fills;
  for (size_t f = 0; f < fills.size(); ++f)
    fills[f] =
        substrate(input.image, config.in_channels, config.image_size, kGameFills[f], input.black);
  const ClassMaps maps = std::move(
      method_maps(context, {input.image, fills[0], input.number, true}, {&input.target, 1})
          .front());
  const LogitsOf logits_of = [&](std::span<const float> images, int batch) {
    return context.engine.logits(images, batch);
  };
  const Level leaves = geometry(config).front();
  const Grid blocks{leaves.grid, config.image_size / leaves.grid};
  const MaskedSets sets =
      mask_sets({input.image, fills[0], config.in_channels, input.target}, blocks,
                {.batch = options.batch, .seed = context.seed, .number = input.number}, logits_of);
  ImageScores scores;
  for (const MethodMap& method : maps.methods) {
    const std::vector<int> order = ranking(on_grid(method.map, grid), context.seed, input.number);
    auto& games = scores.games.emplace_back();
    for (size_t f = 0; f < fills.size(); ++f)
      games[f] = play({input.image, fills[f], config.in_channels, input.target}, grid, order,
                      options, logits_of);
    std::vector<double>& values = scores.values.emplace_back(game_values(games));
    const TreeFaithfulness tree = maps.drops ? tree_faithfulness(*maps.drops, method.path)
                                             : TreeFaithfulness{kUndefined, kUndefined};
    values.insert(values.end(), {tree.leaf_rank, tree.agreement,
                                 mu_fidelity(sets, block_sums(method.map, blocks.side))});
    if (with_boxes) add_pointing(method.map, input, config.image_size, values);
  }
  return scores;
}

std::vector<std::vector<double>> score_mosaic(const MapContext& context, const ScoreInput& input,
                                              int edge, std::span<const int> classes) {
  const NestConfig& config = context.engine.config();
  const std::vector<float> fill =
      substrate(input.image, config.in_channels, config.image_size, Fill::kMean, input.black);
  const std::vector<ClassMaps> maps =
      method_maps(context, {input.image, fill, input.number, false}, classes);
  std::vector<std::vector<double>> scores;
  for (size_t m = 0; m < context.methods.size(); ++m) {
    DefinedMean mass, argmax, path;
    for (size_t k = 0; k < classes.size(); ++k) {
      const MethodMap& method = maps[k].methods[m];
      const MosaicScore score = mosaic_score(method.map, method.path, edge, static_cast<int>(k));
      mass.add(score.mass);
      argmax.add(score.argmax);
      path.add(score.path);
    }
    scores.push_back({mass.get(), argmax.get(), path.get()});
  }
  return scores;
}

MeanCurves::MeanCurves(const std::vector<ScoredMethod>& methods) {
  for (size_t f = 0; f < kGameFills.size(); ++f) {
    sums_.push_back(
        {std::string("deletion_") + kFillKeys[f], std::string("Deletion to ") + kFillNames[f], {}});
    sums_.push_back({std::string("insertion_") + kFillKeys[f],
                     std::string("Insertion from ") + kFillNames[f],
                     {}});
  }
  for (ScoreCurves& curves : sums_)
    for (const ScoredMethod& method : methods) curves.methods.push_back({method.name, {}, {}, {}});
}

void MeanCurves::add(const ImageScores& scores) {
  ++images_;
  for (size_t m = 0; m < scores.games.size(); ++m)
    for (size_t f = 0; f < kGameFills.size(); ++f) {
      add_curve(scores.games[m][f].deletion, sums_[2 * f].methods.at(m));
      add_curve(scores.games[m][f].insertion, sums_[2 * f + 1].methods.at(m));
    }
}

std::vector<ScoreCurves> MeanCurves::means() const {
  std::vector<ScoreCurves> means = sums_;
  for (ScoreCurves& curves : means)
    for (ScoreCurve& curve : curves.methods)
      for (std::vector<double>* values : {&curve.probability, &curve.logit})
        for (double& value : *values) value /= static_cast<double>(images_);
  return means;
}

double score_forwards(std::span<const ScoredMethod> methods, const NestConfig& config,
                      const GameOptions& options) {
  const double steps = std::clamp(options.steps, 1, score_grid(config).cells());
  return method_forwards(methods, geometry(config), 1, true) + SetOptions{}.count + 1 +
         static_cast<double>(methods.size()) * static_cast<double>(kGameFills.size()) * 2 * steps;
}

}  // namespace nestvit
