// Requests and answers of Model::explain().
#include "api/explanation.h"

#include <fmt/format.h>

#include <algorithm>

namespace nestvit {
namespace {

ExplainMethod method_of(Explain method) {
  switch (method) {
    case Explain::kGradCat:
      return ExplainMethod::kGradCat;
    case Explain::kRelevance:
      return ExplainMethod::kRelevance;
    case Explain::kCam:
      return ExplainMethod::kCam;
    case Explain::kLayerCam:
      return ExplainMethod::kLayerCam;
    case Explain::kGradCam:
      return ExplainMethod::kGradCam;
    case Explain::kOcclusion:
      return ExplainMethod::kOcclusion;
  }
  throw UsageError(fmt::format("{} is no method to explain with", static_cast<int>(method)),
                   "choose one of enum class Explain");
}

Prediction explained_class(const ExplanationRecord& record) {
  const auto found =
      std::find_if(record.predictions.begin(), record.predictions.end(),
                   [&](const ExplainedClass& named) { return named.index == record.target.index; });
  return {found->index, found->label, static_cast<float>(found->probability)};
}

bool all_decided(const ExplanationRecord& record) {
  if (record.tree)
    return std::all_of(record.tree->path.begin(), record.tree->path.end(),
                       [](const PathStep& step) { return step.decided; });
  return std::all_of(record.maps.begin(), record.maps.end(),
                     [](const CellMap& map) { return map.decided; });
}

Region region_of(const TreeNode& node) {
  return {.level = node.level,
          .block = node.block,
          .parent = node.parent,
          .quadrant = node.quadrant,
          .score = static_cast<float>(node.score),
          .share = static_cast<float>(node.share),
          .chosen = node.chosen,
          .box = node.box.value_or(ImageBox{})};
}

}  // namespace

ExplainRequest to_request(int index, int against, const ExplainOptions& options) {
  ExplainRequest request;
  if (index != -1) request.classes = {index};
  if (against != -1) request.against = against;
  request.method = method_of(options.method);
  request.level = options.level;
  if (!options.paper) return request;
  if (options.method != Explain::kGradCat)
    throw UsageError("the letter of the paper is one of kGradCat alone",
                     "leave out `paper`, or the method");
  request.site = Site::kOutput;
  request.propagation = Propagation::kGradient;
  request.sign = Sign::kPaper;
  return request;
}

Explanation to_public(const ExplanationRecord& record) {
  Explanation result{.prediction = explained_class(record),
                     .logit = static_cast<float>(record.target.value),
                     .constants = static_cast<float>(record.additive ? record.constants : 0),
                     .decided = all_decided(record),
                     .width = record.width,
                     .height = record.height,
                     .tree = {},
                     .path = {},
                     .maps = {}};
  if (record.tree) {
    for (const TreeNode& node : record.tree->nodes) result.tree.push_back(region_of(node));
    result.path.push_back(0);
    for (const PathStep& step : record.tree->path) result.path.push_back(step.node);
  }
  for (const CellMap& map : record.maps)
    result.maps.push_back({map.level, map.rows, map.columns, record.extent, map.values});
  return result;
}

}  // namespace nestvit
