// The reader of boxes, and the search by the end of a path.
#include "explain/score/boxes.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <array>
#include <charconv>
#include <cmath>

#include "base/file.h"

namespace nestvit {
namespace {

constexpr const char* kForm = "a line is path,x0,y0,x1,y1, in pixels of the original image";

[[noreturn]] void fail(const std::string& origin, int64_t line, const std::string& what) {
  throw Error(fmt::format("{} line {}: {}", origin, line, what), kForm);
}

double coordinate(std::string_view text, const std::string& origin, int64_t line) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    fail(origin, line, "expected a number where a coordinate stands");
  if (!(value >= 0 && value <= BoxTable::kMaxCoordinate))
    fail(origin, line,
         fmt::format("a coordinate is {:g}, expected 0 to {:g}", value, BoxTable::kMaxCoordinate));
  return value;
}

// "a/b/c.jpg" -> "c.jpg/b/a/"; "." and empty parts left out.
std::string reversed(std::string_view path) {
  std::string result;
  while (!path.empty()) {
    const size_t slash = path.rfind('/');
    const std::string_view part = slash == std::string_view::npos ? path : path.substr(slash + 1);
    if (!part.empty() && part != ".") result.append(part).push_back('/');
    path = slash == std::string_view::npos ? "" : path.substr(0, slash);
  }
  return result;
}

}  // namespace

BoxTable BoxTable::parse(std::string_view text, const std::string& origin) {
  BoxTable table;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  if (text.find('\0') != std::string_view::npos) throw Error(origin + " is no text", kForm);
  for (int64_t line = 1; !text.empty(); ++line) {
    const size_t end = text.find('\n');
    std::string_view row = text.substr(0, end);
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
    if (!row.empty() && row.back() == '\r') row.remove_suffix(1);
    if (row.empty()) continue;
    std::array<double, 4> corners{};
    for (int k = 3; k >= 0; --k) {  // from the end: the path may hold commas
      const size_t comma = row.rfind(',');
      if (comma == std::string_view::npos) fail(origin, line, "fewer than five fields");
      corners[k] = coordinate(row.substr(comma + 1), origin, line);
      row = row.substr(0, comma);
    }
    if (row.empty()) fail(origin, line, "no path");
    const ObjectBox box{corners[0], corners[1], corners[2], corners[3]};
    if (box.x1 < box.x0 || box.y1 < box.y0)
      fail(origin, line, "the box ends before it starts (x1 < x0 or y1 < y0)");
    table.boxes_[std::string(row)].push_back(box);
    ++table.count_;
  }
  for (const auto& [path, boxes] : table.boxes_) table.by_end_.emplace(reversed(path), &boxes);
  return table;
}

BoxTable BoxTable::read(const std::filesystem::path& path) {
  BoxTable table = parse(read_text(path, kMaxBytes), path.string());
  if (table.boxes_.empty()) throw Error(path.string() + ": no box in this file", kForm);
  return table;
}

std::span<const ObjectBox> BoxTable::find(const std::string& path) const {
  if (const auto exact = boxes_.find(path); exact != boxes_.end()) return exact->second;
  // The path of the file that ends as `path` does, or whose end it is: from the whole path to its
  // last part, the first end that one image alone has.
  std::string end = reversed(path);
  while (!end.empty()) {
    const auto first = by_end_.lower_bound(end);
    if (first != by_end_.end() && first->first.starts_with(end)) {
      const auto second = std::next(first);
      const bool alone = second == by_end_.end() || !second->first.starts_with(end);
      return alone ? std::span<const ObjectBox>(*first->second) : std::span<const ObjectBox>();
    }
    end.pop_back();
    end.resize(end.rfind('/') + 1);  // npos + 1 is 0
  }
  return {};
}

}  // namespace nestvit
