// JSON by nlohmann, CSV by hand.
#include "report/results.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/system/place.h"

namespace nestvit {
namespace {

nlohmann::ordered_json json_of(const Value& value) {
  return std::visit(
      [](const auto& v) -> nlohmann::ordered_json {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, Value::List>) {
          auto array = nlohmann::ordered_json::array();
          for (const Value& item : v) array.push_back(json_of(item));
          return array;
        } else if constexpr (std::is_same_v<T, Value::Members>) {
          auto object = nlohmann::ordered_json::object();
          for (const auto& [key, item] : v) object[key] = json_of(item);
          return object;
        } else if constexpr (std::is_same_v<T, double>) {
          if (!std::isfinite(v)) return nullptr;
          return v;
        } else {
          return v;
        }
      },
      value.value);
}

std::string csv_text(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value.value)) return *text;
  if (std::holds_alternative<std::nullptr_t>(value.value)) return "";
  return to_json(value, -1);
}

}  // namespace

std::string to_json(const Value& value, int indent) {
  return json_of(value).dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) line += ',';
    if (fields[i].find_first_of(",\"\r\n") == std::string::npos) {
      line += fields[i];
      continue;
    }
    line += '"';
    for (char c : fields[i]) line += c == '"' ? std::string("\"\"") : std::string(1, c);
    line += '"';
  }
  return line + '\n';
}

void check_results_path(const std::filesystem::path& path) {
  if (path.extension() != ".json" && path.extension() != ".csv" && !place_of(path).stream)
    throw UsageError(
        fmt::format("{}: cannot tell the format of the results from this name", path.string()),
        "end the name in .json or .csv");
}

void write_results(const std::filesystem::path& path, const Value::Members& results) {
  check_results_path(path);
  if (path.extension() != ".csv") {
    write_file(path, to_json(results) + "\n");
    return;
  }
  std::vector<std::string> header, row;
  for (const auto& [key, value] : results) {
    header.push_back(key);
    row.push_back(csv_text(value));
  }
  write_file(path, csv_line(header) + csv_line(row));
}

double rounded(double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

}  // namespace nestvit
