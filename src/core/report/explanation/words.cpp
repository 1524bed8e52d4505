// What cards say.
#include "report/explanation/words.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cmath>
#include <vector>

#include "report/markup.h"

namespace nestvit {

std::string quadrant_name(int quadrant) {
  static const std::array<std::string, 4> names{"top left", "top right", "bottom left",
                                                "bottom right"};
  return quadrant < 0 || quadrant > 3 ? "" : names.at(static_cast<size_t>(quadrant));
}

std::string share_words(double share) {
  const double rounded = std::round(100 * share);
  return fmt::format("{}{:.0f} %", rounded < 0 ? "−" : "", std::abs(rounded));
}

std::string question_words(const ExplanationRecord& why) {
  const std::string label = clean_utf8(why.target.label);
  if (!why.target.against) return fmt::format("Why “{}”?", label);
  return fmt::format("Why “{}” rather than “{}”?", label, clean_utf8(why.target.against_label));
}

std::string path_words(const Tree& tree) {
  std::vector<std::string> steps;
  for (const PathStep& step : tree.path) {
    const size_t number = steps.size() + 1;
    steps.push_back(
        step.decided ? fmt::format("{} {} ({})", number, quadrant_name(step.quadrant),
                                   share_words(tree.nodes.at(static_cast<size_t>(step.node)).share))
                     : fmt::format("{} undecided", number));
  }
  if (steps.empty()) return "A model of one level: nothing to descend into";
  return fmt::format("Path: {}", fmt::join(steps, " → "));
}

std::string method_words(const ExplanationRecord& why) {
  std::string words = why.method;
  for (const std::string& part : {why.site, why.propagation, why.sign})
    if (!part.empty()) words += " · " + part;
  return words;
}

std::string unit_words(const ExplanationRecord& why) {
  const std::string of = why.target.kind == TargetKind::kLogProbability ? "the log-probability"
                         : why.target.against                           ? "the difference of logits"
                                                                        : "the logit";
  if (why.method == "occlusion") return fmt::format("drop of {}", of);
  if (why.method == "layercam" || why.method == "gradcam")
    return "activation × gradient (no share of the logit)";
  return fmt::format("share of {}, which is {:.3g}", of, why.target.value);
}

}  // namespace nestvit
