// The index is read as a list of names: a part may only be named, never a path.
#include "weights/files/parts.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <map>
#include <set>

#include "base/file.h"
#include "base/json.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLargestIndex = 4 << 20;  // 100 bytes for each of a few hundred tensors
constexpr size_t kMostParts = 1000;
constexpr const char* kHint =
    "an index as transformers writes it is {\"weight_map\": {\"NAME\": \"FILE\", ...}}, with its "
    "files in the same folder";

[[noreturn]] void fail(const fs::path& index, const std::string& what, const char* hint = kHint) {
  throw Error(fmt::format("{}: {}", index.string(), what), hint);
}

// Tensor -> file.
std::map<std::string, std::string> read_index(const fs::path& index) {
  std::map<std::string, std::string> files;
  nlohmann::json root;
  try {
    root = parse_json(read_text(index, kLargestIndex));
  } catch (const Error& e) {
    fail(index, e.what());
  }
  const auto map = root.is_object() ? root.find("weight_map") : root.end();
  if (map == root.end() || !map->is_object() || map->empty())
    fail(index, "it is no index of weights: it has no weight_map");
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string()) fail(index, fmt::format("it names no file for tensor \"{}\"", name));
    const auto part = file.get<std::string>();
    if (part.empty() || part == "." || part == ".." || part.find('/') != std::string::npos)
      fail(index, fmt::format("its part \"{}\" is not the name of a file beside it", part));
    files.emplace(name, part);
  }
  return files;
}

}  // namespace

TensorMap read_parts(const fs::path& index, const ReadPart& read) {
  const std::map<std::string, std::string> files = read_index(index);
  std::set<std::string> parts;
  for (const auto& [_, part] : files) parts.insert(part);
  if (parts.size() > kMostParts)
    fail(index, fmt::format("it has {} parts, at most {} are read", parts.size(), kMostParts));
  for (const std::string& part : parts)
    if (std::error_code ignored; !fs::exists(index.parent_path() / part, ignored))
      fail(index, fmt::format("its part {} is not there", part), "fetch all parts into the folder");
  TensorMap tensors;
  for (const std::string& part : parts)
    for (auto& [name, tensor] : read(index.parent_path() / part)) {
      const auto listed = files.find(name);
      if (listed != files.end() && listed->second != part)
        fail(index,
             fmt::format("it says that {} is in {}, which {} holds", name, listed->second, part));
      if (!tensors.emplace(name, std::move(tensor)).second)
        fail(index, fmt::format("two of its parts hold {}", name));
    }
  for (const auto& [name, part] : files)
    if (!tensors.contains(name))
      fail(index, fmt::format("its part {} does not hold {}", part, name));
  return tensors;
}

bool is_one_of_parts(const fs::path& file) {
  constexpr std::string_view kForm = "-#####-of-#####.";
  const std::string name = file.filename().string();
  for (size_t at = 0; at + kForm.size() <= name.size(); ++at) {
    std::string form = name.substr(at, kForm.size());
    const std::string total = form.substr(10, 5);
    for (char& c : form)
      if (c >= '0' && c <= '9') c = '#';
    if (form == kForm && total != "00001") return true;
  }
  return false;
}

}  // namespace nestvit
