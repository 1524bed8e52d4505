// The words of the table; JSON and CSV are explain/json.h's.
#include "cli/verbs/explain/printer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "cli/model/class_names.h"
#include "explain/explainer.h"
#include "explain/json.h"
#include "image/transform.h"

namespace nestvit::cli {
namespace {

constexpr std::array kQuadrants = {"top left", "top right", "bottom left", "bottom right"};

// Edges are rounded, not sides, so that neighbours stay neighbours.
std::string box_in_words(const OriginalBox& box) {
  if (!box) return "in the padding";
  const auto edge = [&](int i) { return std::llround((*box)[i]); };
  return fmt::format("{} x {} at {}, {}", edge(2) - edge(0), edge(3) - edge(1), edge(0), edge(1));
}

std::string masking_in_words(const std::vector<PathStep>& path) {
  std::vector<std::string> words;
  for (const PathStep& step : path)
    if (step.occlusion)
      words.push_back(step.occlusion->agrees
                          ? "agrees"
                          : fmt::format("says {}", kQuadrants.at(step.occlusion->best)));
  return words.empty() ? "" : fmt::format("; masking {}", fmt::join(words, ", "));
}

// The cell of the largest value, on the original image.
OriginalBox strongest_cell(const CellMap& map, const ExplanationRecord& why,
                           const Preprocessing& preprocessing) {
  const auto at = std::max_element(map.values.begin(), map.values.end()) - map.values.begin();
  const double y = static_cast<double>(at / map.columns) * map.cell;
  const double x = static_cast<double>(at % map.columns) * map.cell;
  return on_original({x, y, x + map.cell, y + map.cell},
                     evaluation_view(why.height, why.width, preprocessing), why.height, why.width);
}

std::string class_in_words(int index, std::optional<int> against, const ModelContent& model) {
  const std::string& name = spoken(model, index);
  return against ? fmt::format("{}, not {}", name, spoken(model, *against)) : name;
}

double probability(const ExplanationRecord& explanation) {
  for (const ExplainedClass& each : explanation.predictions)
    if (each.index == explanation.target.index) return each.probability;
  return std::nan("");
}

}  // namespace

std::string path_in_words(const Tree& tree) {
  if (tree.path.empty()) return "one block: there is nothing to choose";
  std::vector<std::string> quadrants, margins;
  for (const PathStep& step : tree.path) {
    quadrants.push_back(
        fmt::format("{}{}", kQuadrants.at(step.quadrant), step.decided ? "" : " (undecided)"));
    margins.push_back(step.decided ? fmt::format("{:.2f}", step.margin) : "-");
  }
  return fmt::format("{}, {}; margin{} {}{}", fmt::join(quadrants, " -> "),
                     box_in_words(tree.nodes.at(tree.path.back().node).box),
                     margins.size() == 1 ? "" : "s", fmt::join(margins, ", "),
                     masking_in_words(tree.path));
}

std::string map_in_words(const ExplanationRecord& explanation, const Preprocessing& preprocessing) {
  if (explanation.maps.empty()) return "";
  const CellMap& map = explanation.maps.front();
  if (!map.decided) return "undecided: nothing but rounding";
  if (!(map.positive > 0)) return "nothing speaks for it";
  const std::string cell = box_in_words(strongest_cell(map, explanation, preprocessing));
  if (!explanation.additive) return cell;
  return fmt::format("{}; {:.2f} of {:.2f} ({:+.2f} {:+.2f})", cell, explanation.explained,
                     explanation.target.value, map.positive, map.negative);
}

ExplanationPrinter::ExplanationPrinter(Form form, const ModelContent& model)
    : form_(std::move(form)), model_(model) {
  for (int k = 0; k < std::ssize(model.labels); ++k)
    label_width_ = std::max(label_width_, class_in_words(k, form_.against, model).size());
  label_width_ = std::clamp<size_t>(label_width_, 5, form_.against ? 80 : 40);
  name_width_ = std::clamp<size_t>(form_.name_width, 4, 60);
}

void ExplanationPrinter::begin() {
  if (std::exchange(begun_, true)) return;
  if (form_.format == "csv") text_ = csv_header();
  if (form_.format == "json") text_ = "[";
  if (form_.format == "table")
    text_ = fmt::format("{:<{}}  {:<{}}  {}  {}\n", "file", name_width_, "class", label_width_,
                        "probability", "where");
}

void ExplanationPrinter::add(std::span<const ExplanationRecord> explanations) {
  begin();
  for (const ExplanationRecord& explanation : explanations) {
    if (form_.format == "table") add_row(explanation, &explanation == explanations.data());
    if (form_.format == "csv") text_ += to_csv(explanation);
    if (form_.format == "json") {
      text_ += first_ ? "\n  " : ",\n  ";
      text_ += to_json(explanation, form_.maps);
    }
    first_ = false;
  }
}

void ExplanationPrinter::add_row(const ExplanationRecord& explanation, bool first) {
  const ExplainedTarget& target = explanation.target;
  const std::string where = explanation.tree ? path_in_words(*explanation.tree)
                                             : map_in_words(explanation, model_.preprocessing);
  text_ += fmt::format("{:<{}}  {:<{}}  {:>9.2f} %  {}\n", first ? explanation.file : "",
                       name_width_, class_in_words(target.index, target.against, model_),
                       label_width_, 100 * probability(explanation), where);
}

void ExplanationPrinter::flush(Sink& sink) { sink.send(std::exchange(text_, "")); }

void ExplanationPrinter::finish(Sink& sink) {
  begin();
  if (form_.format == "json") text_ += "\n]\n";
  flush(sink);
  sink.commit();
}

}  // namespace nestvit::cli
