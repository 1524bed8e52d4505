// Checks JSON against a JSON Schema of a few words: type, const, enum, required, properties,
// additionalProperties, items, minItems, maxItems, minimum, maximum, and $ref into the schema
// itself. A word that it does not know is an error, so that no rule goes unchecked.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace nestvit::testing {

class JsonSchema {
 public:
  explicit JsonSchema(nlohmann::json schema) : root_(std::move(schema)) {}

  // What breaks the rules, each with its place; empty: nothing.
  std::vector<std::string> violations(const nlohmann::json& value) const {
    std::vector<std::string> found;
    check(value, root_, "", found);
    return found;
  }

 private:
  using Json = nlohmann::json;
  using List = std::vector<std::string>;

  static bool has_type(const Json& value, const std::string& type) {
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    if (type == "array") return value.is_array();
    if (type == "object") return value.is_object();
    throw std::runtime_error("the schema names the unknown type " + type);
  }

  static bool has_one_of(const Json& value, const Json& types) {
    if (types.is_string()) return has_type(value, types);
    return std::any_of(types.begin(), types.end(),
                       [&](const Json& type) { return has_type(value, type); });
  }

  void check(const Json& value, const Json& schema, const std::string& at, List& found) const {
    static const std::set<std::string> kText = {"$schema", "title", "$defs", "properties"};
    if (schema.contains("$ref")) {
      const std::string to = schema.at("$ref");
      check(value, root_.at(Json::json_pointer(to.substr(1))), at, found);
    }
    for (const auto& [word, rule] : schema.items())
      if (word != "$ref" && !kText.contains(word) && !holds(value, schema, word, rule, at, found))
        found.push_back(at + ": " + word + " " + rule.dump());
    if (!value.is_object() || !schema.contains("properties")) return;
    for (const auto& [key, rule] : schema.at("properties").items())
      if (value.contains(key)) check(value.at(key), rule, at + "/" + key, found);
  }

  bool holds(const Json& value, const Json& schema, const std::string& word, const Json& rule,
             const std::string& at, List& found) const {
    if (word == "type") return has_one_of(value, rule);
    if (word == "const") return value == rule;
    if (word == "enum") return std::find(rule.begin(), rule.end(), value) != rule.end();
    if (word == "minimum") return !value.is_number() || value >= rule;
    if (word == "maximum") return !value.is_number() || value <= rule;
    if (word == "minItems") return !value.is_array() || value.size() >= rule.get<size_t>();
    if (word == "maxItems") return !value.is_array() || value.size() <= rule.get<size_t>();
    if (word == "required")
      return !value.is_object() || std::all_of(rule.begin(), rule.end(), [&](const Json& key) {
        return value.contains(key.get<std::string>());
      });
    if (word == "additionalProperties" && rule == false) {
      bool all_known = true;
      if (value.is_object())
        for (const auto& [key, unused] : value.items())
          all_known = all_known && schema.at("properties").contains(key);
      return all_known;
    }
    if (word == "items") {
      if (value.is_array())
        for (size_t i = 0; i < value.size(); ++i)
          check(value[i], rule, at + "/" + std::to_string(i), found);
      return true;
    }
    throw std::runtime_error("the schema has the unknown word " + word);
  }

  Json root_;
};

}  // namespace nestvit::testing
