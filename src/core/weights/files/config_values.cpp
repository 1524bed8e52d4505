// Each reader names the key, what it found and what belongs there.
#include "weights/files/config_values.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <cmath>

namespace nestvit::config_values {
namespace {

using nlohmann::json;

constexpr int64_t kLargestNumber = 1 << 20;

std::string clipped(const json& value) {
  const std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

}  // namespace

void wrong(const std::string& key, const json& got, const std::string& expected) {
  throw Error(fmt::format("\"{}\" is {}, expected {}", key, clipped(got), expected));
}

const json* find(const json& object, const std::string& key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

int whole(const json& value, const std::string& key) {
  if (!value.is_number_integer() ||
      (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX))
    wrong(key, value, "a whole number");
  const auto number = value.get<int64_t>();
  if (number < 0 || number > kLargestNumber)
    wrong(key, value, fmt::format("a whole number from 0 to {}", kLargestNumber));
  return static_cast<int>(number);
}

double number(const json& value, const std::string& key) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) wrong(key, value, "a number");
  return value.get<double>();
}

std::string word(const json& value, const std::string& key) {
  if (!value.is_string()) wrong(key, value, "a text");
  return value.get<std::string>();
}

void read(const json& object, const std::string& key, int& target) {
  if (const json* value = find(object, key)) target = whole(*value, key);
}

void read(const json& object, const std::string& key, double& target) {
  if (const json* value = find(object, key)) target = number(*value, key);
}

void read(const json& object, const std::string& key, std::vector<double>& target) {
  const json* value = find(object, key);
  if (!value) return;
  if (!value->is_array()) wrong(key, *value, "a list of numbers");
  target.clear();
  for (const json& entry : *value) target.push_back(number(entry, key));
}

}  // namespace nestvit::config_values
