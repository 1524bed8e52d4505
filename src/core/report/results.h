// Results as other programs read them: an ordered tree of values as JSON, rows as CSV.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace nestvit {

// One JSON value. Members keep their order; a number that is not finite becomes null, bytes that
// are not UTF-8 the replacement character.
struct Value {
  using List = std::vector<Value>;
  using Members = std::vector<std::pair<std::string, Value>>;
  std::variant<std::nullptr_t, bool, int64_t, double, std::string, List, Members> value = nullptr;

  Value() = default;
  Value(bool v) : value(v) {}
  Value(int v) : value(int64_t{v}) {}
  Value(int64_t v) : value(v) {}
  Value(double v) : value(v) {}
  Value(std::string v) : value(std::move(v)) {}
  Value(const char* v) : value(std::string(v)) {}
  Value(List v) : value(std::move(v)) {}
  Value(Members v) : value(std::move(v)) {}
  template <class T>
  static Value list(const std::vector<T>& items) {
    return List(items.begin(), items.end());
  }
};

// `indent` spaces a level; below 0: all on one line.
std::string to_json(const Value& value, int indent = 2);

// One line with its end, fields quoted where RFC 4180 asks for it.
std::string csv_line(const std::vector<std::string>& fields);

// The members as one JSON object, or as a CSV header and row: by the extension, .json or .csv.
// Throws UsageError for another; what is no file but a device or a pipe gets JSON.
void write_results(const std::filesystem::path& path, const Value::Members& results);
void check_results_path(const std::filesystem::path& path);

double rounded(double value, int digits);

}  // namespace nestvit
