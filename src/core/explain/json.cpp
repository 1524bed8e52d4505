// JSON by nlohmann, CSV by hand.
#include "explain/json.h"

#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace nestvit {
namespace {

using Json = nlohmann::ordered_json;

// Six significant digits; no -0.
std::string digits(double value) { return fmt::format("{:.6g}", value == 0 ? 0.0 : value); }
Json number(double value) { return std::strtod(digits(value).c_str(), nullptr); }

Json json_of(const PixelBox& box) {
  Json list = Json::array();
  for (const double edge : box) list.push_back(number(edge));
  return list;
}

Json json_of(const OriginalBox& box) { return box ? json_of(*box) : Json(nullptr); }

Json json_of(const ExplainedTarget& target) {
  Json json;
  json["kind"] = target.kind == TargetKind::kLogit ? "logit" : "logprob";
  json["index"] = target.index;
  json["label"] = target.label;
  json["against"] = target.against ? Json(*target.against) : Json(nullptr);
  if (target.against) json["against_label"] = target.against_label;
  json["value"] = number(target.value);
  return json;
}

Json json_of(const CellMap& map, bool values) {
  Json json;
  json["level"] = map.level;
  json["grid"] = map.rows;
  json["cell"] = map.cell;
  json["sum"] = number(map.sum);
  json["positive"] = number(map.positive);
  json["negative"] = number(map.negative);
  json["decided"] = map.decided;
  if (!values) return json;
  Json rows = Json::array();
  for (int y = 0; y < map.rows; ++y) {
    Json row = Json::array();
    for (int x = 0; x < map.columns; ++x)
      row.push_back(number(map.values.at(static_cast<size_t>(y) * map.columns + x)));
    rows.push_back(std::move(row));
  }
  json["map"] = std::move(rows);
  return json;
}

// A node with all below it. `first_child` [node]: -1 where it has none.
Json json_of(const Tree& tree, const std::vector<int>& first_child, int at) {
  const TreeNode& node = tree.nodes.at(static_cast<size_t>(at));
  Json json;
  if (node.parent >= 0) json["quadrant"] = node.quadrant;
  json["level"] = node.level;
  json["block"] = node.block;
  if (node.parent >= 0) {
    json["score"] = number(node.score);
    json["share"] = number(node.share);
  }
  json["chosen"] = node.chosen;
  json["input_box"] = json_of(node.input_box);
  json["box"] = json_of(node.box);
  const int first = first_child.at(static_cast<size_t>(at));
  if (first < 0) return json;
  Json children = Json::array();
  for (int k = 0; k < 4; ++k) children.push_back(json_of(tree, first_child, first + k));
  json["children"] = std::move(children);
  return json;
}

Json json_of(const Tree& tree) {
  std::vector<int> first_child(tree.nodes.size(), -1);
  for (size_t i = 0; i < tree.nodes.size(); ++i)
    if (tree.nodes[i].quadrant == 0)
      first_child.at(static_cast<size_t>(tree.nodes[i].parent)) = static_cast<int>(i);
  return json_of(tree, first_child, 0);
}

Json json_of(const PathStep& step) {
  Json json;
  json["level"] = step.level;
  json["quadrant"] = step.quadrant;
  json["score"] = number(step.score);
  json["margin"] = number(step.margin);
  json["decided"] = step.decided;
  if (step.occlusion) {
    json["occlusion"]["best"] = step.occlusion->best;
    json["occlusion"]["agrees"] = step.occlusion->agrees;
    json["occlusion"]["drop"] = number(step.occlusion->drop);
  }
  return json;
}

// The image, the model and its answers.
void add_frame(Json& json, const ExplanationRecord& explanation) {
  json["kind"] = "nestvit.explanation";
  json["schema"] = 1;
  json["file"] = explanation.file;
  json["width"] = explanation.width;
  json["height"] = explanation.height;
  json["turned"] = explanation.turned;
  json["seen"] = json_of(explanation.seen);
  Json& model = json["model"];
  model["variant"] = explanation.variant;
  model["image_size"] = explanation.image_size;
  model["levels"] = explanation.levels;
  model["origin"] = explanation.origin;
  json["predictions"] = Json::array();
  for (const ExplainedClass& answer : explanation.predictions) {
    Json one;
    one["index"] = answer.index;
    one["label"] = answer.label;
    one["prob"] = number(answer.probability);
    one["logit"] = number(answer.logit);
    json["predictions"].push_back(std::move(one));
  }
}

std::string quoted(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + '"';
}

}  // namespace

std::string to_json(const ExplanationRecord& explanation, bool maps) {
  Json json;
  add_frame(json, explanation);
  json["target"] = json_of(explanation.target);
  json["method"] = explanation.method;
  if (!explanation.site.empty()) json["site"] = explanation.site;
  if (!explanation.propagation.empty()) json["propagation"] = explanation.propagation;
  if (!explanation.sign.empty()) json["sign"] = explanation.sign;
  json["levels"] = Json::array();
  for (const CellMap& map : explanation.maps) json["levels"].push_back(json_of(map, maps));
  if (explanation.tree) {
    json["tree"] = json_of(*explanation.tree);
    json["path"] = Json::array();
    for (const PathStep& step : explanation.tree->path) json["path"].push_back(json_of(step));
  }
  Json completeness;  // null
  if (explanation.additive) {
    completeness["target"] = number(explanation.target.value);
    completeness["explained"] = number(explanation.explained);
    completeness["constants"] = number(explanation.constants);
  }
  json["completeness"] = std::move(completeness);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string csv_header() {
  return "file,class,level,quadrant,score,share,margin,decided,x0,y0,x1,y1\n";
}

std::string to_csv(const ExplanationRecord& explanation) {
  std::string text;
  if (!explanation.tree) return text;
  const Tree& tree = *explanation.tree;
  for (const PathStep& step : tree.path) {
    const TreeNode& node = tree.nodes.at(static_cast<size_t>(step.node));
    text += fmt::format("{},{},{},{},{},{},{},{}", quoted(explanation.file),
                        quoted(explanation.target.label), step.level, step.quadrant,
                        digits(step.score), digits(node.share), digits(step.margin), step.decided);
    for (size_t edge = 0; edge < 4; ++edge)
      text += "," + (node.box ? digits((*node.box)[edge]) : "");
    text += '\n';
  }
  return text;
}

}  // namespace nestvit
