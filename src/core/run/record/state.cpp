// To JSON and back.
#include "run/record/state.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/json.h"

namespace nestvit {
namespace {

using Json = nlohmann::ordered_json;

// JSON has neither infinity nor NaN, which a loss may be.
Json number_or_null(const std::optional<double>& value) {
  if (!value) return nullptr;
  return std::isfinite(*value) ? Json(*value) : Json(fmt::format("{}", *value));
}

std::optional<double> optional_number(const nlohmann::json& value) {
  if (value.is_null()) return std::nullopt;
  if (!value.is_string()) return value.get<double>();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double number : {kInfinity, -kInfinity, std::numeric_limits<double>::quiet_NaN()})
    if (value == fmt::format("{}", number) || (std::isnan(number) && value == "-nan"))
      return number;
  throw Error(fmt::format("{} is not a number", value.dump()));
}

// Integers in state.json are counts.
int64_t count(const nlohmann::json& json, const char* key) {
  const nlohmann::json& value = json.at(key);
  if (!value.is_number_unsigned() ||
      value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()})
    throw Error(fmt::format("{} is not a count", key));
  return value.get<int64_t>();
}

Json sums_json(const StepSums& sums) {
  return {{"steps", sums.steps},
          {"images", sums.images},
          {"correct", sums.correct},
          {"loss", sums.loss},
          {"loss_squared", sums.loss_squared},
          {"gradient_norm", sums.gradient_norm}};
}

StepSums parse_sums(const nlohmann::json& json) {
  StepSums sums;
  sums.steps = count(json, "steps");
  sums.images = count(json, "images");
  sums.correct = count(json, "correct");
  sums.loss = json.at("loss").get<double>();
  sums.loss_squared = json.at("loss_squared").get<double>();
  sums.gradient_norm = json.at("gradient_norm").get<double>();
  return sums;
}

SummaryRow parse_row(const nlohmann::json& json) {
  SummaryRow row;
  row.step = count(json, "step");
  row.epoch = json.at("epoch").get<double>();
  row.train_loss = optional_number(json.at("train_loss"));
  row.eval_loss = optional_number(json.at("eval_loss"));
  row.eval_top1 = optional_number(json.at("eval_top1"));
  row.eval_top5 = optional_number(json.at("eval_top5"));
  row.learning_rate = json.at("lr").get<double>();
  return row;
}

RunState from_json(const nlohmann::json& json) {
  RunState state;
  state.step = count(json, "step");
  state.batch_size = count(json, "batch_size");
  state.train_size = count(json, "train_size");
  if (const nlohmann::json& best = json.at("best"); !best.is_null()) {
    state.best_step = count(best, "step");
    state.best_top1 = best.at("top1").get<double>();
  }
  state.loss_sum = json.at("loss_sum").get<double>();
  state.loss_steps = count(json, "loss_steps");
  state.window = parse_sums(json.at("window"));
  for (const nlohmann::json& row : json.at("history")) state.history.push_back(parse_row(row));
  for (const nlohmann::json& image : json.at("skipped"))
    state.skipped.emplace_back(image.at("image").get<std::string>(),
                               image.at("reason").get<std::string>());
  state.recipe_digest = json.at("recipe_digest").get<std::string>();
  if (state.batch_size < 1 || state.train_size < 1 ||
      state.step > std::numeric_limits<int64_t>::max() / state.batch_size)
    throw Error("a number is out of range");
  return state;
}

}  // namespace

std::string state_json(const RunState& state) {
  Json json;
  json["step"] = state.step;
  json["batch_size"] = state.batch_size;
  json["train_size"] = state.train_size;
  const int64_t samples = state.step * state.batch_size;
  // For people; step implies both.
  json["epoch"] = samples / std::max<int64_t>(1, state.train_size);
  json["position"] = samples % std::max<int64_t>(1, state.train_size);
  json["best"] = state.best_step < 0 ? Json(nullptr)
                                     : Json{{"step", state.best_step}, {"top1", state.best_top1}};
  json["loss_sum"] = state.loss_sum;
  json["loss_steps"] = state.loss_steps;
  json["window"] = sums_json(state.window);
  json["recipe_digest"] = state.recipe_digest;
  json["history"] = Json::array();
  for (const SummaryRow& row : state.history)
    json["history"].push_back({{"step", row.step},
                               {"epoch", row.epoch},
                               {"train_loss", number_or_null(row.train_loss)},
                               {"eval_loss", number_or_null(row.eval_loss)},
                               {"eval_top1", number_or_null(row.eval_top1)},
                               {"eval_top5", number_or_null(row.eval_top5)},
                               {"lr", row.learning_rate}});
  json["skipped"] = Json::array();
  for (const auto& [image, reason] : state.skipped)
    json["skipped"].push_back({{"image", image}, {"reason", reason}});
  // File names need not be UTF-8.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

RunState parse_state(const std::string& text, const std::string& origin) {
  try {
    return from_json(parse_json(text));
  } catch (const std::exception& e) {
    throw Error(fmt::format("{} is not a training state: {}", origin, e.what()),
                "the file is truncated or damaged");
  }
}

}  // namespace nestvit
