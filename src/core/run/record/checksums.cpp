// Writing, reading and comparing the sums.
#include "run/record/checksums.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include "base/crc32c.h"
#include "base/file.h"
#include "base/json.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFile = "checksums.json";

std::string checksum(const fs::path& path) {
  return fmt::format("{:08x}", crc32c(MappedFile::open(path)->bytes()));
}

// A path could lead out of the folder.
bool is_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
}

FileSum parse_sum(const std::string& name, const nlohmann::json& json) {
  FileSum sum{name, 0, json.at("crc32c").get<std::string>()};
  const nlohmann::json& bytes = json.at("bytes");
  if (!is_file_name(name) || !bytes.is_number_unsigned())
    throw Error(fmt::format("the entry \"{}\" is not the sum of a file", name));
  sum.bytes = bytes.get<uint64_t>();
  return sum;
}

}  // namespace

std::vector<FileSum> parse_checksums(const std::string& text, const std::string& origin) {
  std::vector<FileSum> sums;
  try {
    const nlohmann::json json = parse_json(text);
    if (!json.is_object()) throw Error("it is not an object");
    for (const auto& [name, sum] : json.items()) sums.push_back(parse_sum(name, sum));
  } catch (const std::exception& e) {
    throw Error(fmt::format("{} is damaged: {}", origin, e.what()));
  }
  return sums;
}

void write_checksums(const fs::path& folder) {
  nlohmann::ordered_json sums;
  for (const auto& entry : fs::directory_iterator(folder))
    sums[entry.path().filename().string()] = {{"bytes", fs::file_size(entry.path())},
                                              {"crc32c", checksum(entry.path())}};
  write_file(folder / kFile, sums.dump(1) + "\n");
}

void verify_checksums(const fs::path& folder) {
  const fs::path list = folder / kFile;
  for (const FileSum& sum : parse_checksums(read_text(list), list.string())) {
    const fs::path file = folder / sum.name;
    if (!fs::exists(file)) throw Error(fmt::format("{} is missing", file.string()));
    if (sum.bytes != fs::file_size(file))
      throw Error(fmt::format("{} has {} bytes, not as many as were written", file.string(),
                              fs::file_size(file)));
    if (sum.crc32c != checksum(file))
      throw Error(fmt::format("{} is not what was written: its checksum differs", file.string()));
  }
}

}  // namespace nestvit
