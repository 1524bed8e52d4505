// Expands braces as a shell does.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <charconv>

#include "data/shards/webdataset.h"

namespace nestvit {
namespace {

constexpr size_t kMostNames = 100'000;

Error wrong(const std::string& pattern, const std::string& what) {
  return Error(fmt::format("\"{}\" {}", pattern.substr(0, 200), what),
               "a pattern is as x-{0000..0009}.tar or x-{a,b}.tar");
}

// "0000..0009": as many digits as the first number has.
std::vector<std::string> range(const std::string& pattern, const std::string& inside, size_t dots) {
  const auto number = [&](const std::string& text) {
    size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
      throw wrong(pattern, fmt::format("has {{{}}}, expected two numbers", inside.substr(0, 60)));
    return value;
  };
  const std::string low = inside.substr(0, dots);
  const size_t first = number(low), last = number(inside.substr(dots + 2));
  if (last < first) throw wrong(pattern, "counts down");
  if (last - first >= kMostNames) throw wrong(pattern, "stands for more than 100,000 names");
  std::vector<std::string> names;
  for (size_t i = first; i <= last; ++i)
    names.push_back(fmt::format("{:0{}}", i, std::min<size_t>(low.size(), 20)));
  return names;
}

std::vector<std::string> alternatives(const std::string& pattern, const std::string& inside) {
  if (const size_t dots = inside.find(".."); dots != std::string::npos)
    return range(pattern, inside, dots);
  std::vector<std::string> names(1);
  for (const char c : inside)
    if (c == ',')
      names.emplace_back();
    else
      names.back() += c;
  return names;
}

}  // namespace

std::vector<std::string> expand_braces(const std::string& pattern) {
  std::vector<std::string> names = {""};
  for (size_t at = 0; at < pattern.size();) {
    const size_t open = pattern.find('{', at);
    const std::string plain = pattern.substr(at, open - at);
    for (std::string& name : names) name += plain;
    if (open == std::string::npos) break;
    const size_t close = pattern.find('}', open);
    if (close == std::string::npos) throw wrong(pattern, "has a brace that is not closed");
    std::vector<std::string> longer;
    const auto choices = alternatives(pattern, pattern.substr(open + 1, close - open - 1));
    for (const std::string& name : names)
      for (const std::string& choice : choices) {
        if (longer.size() == kMostNames) throw wrong(pattern, "stands for more than 100,000 names");
        longer.push_back(name + choice);
      }
    names = std::move(longer);
    at = close + 1;
  }
  return names;
}

}  // namespace nestvit
