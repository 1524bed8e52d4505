// Searches folders, reads standard input.
#include "cli/model/image_inputs.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>

#include "base/file.h"
#include "base/log.h"
#include "base/unicode.h"
#include "data/classes.h"
#include "data/formats/image_files.h"

namespace nestvit::cli {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kMaxImageBytes = 1u << 30;
constexpr const char* kStandardInput = "-";

std::vector<std::byte> read_standard_input() {
  std::vector<std::byte> bytes;
  std::vector<char> chunk(1 << 16);
  while (std::cin.read(chunk.data(), std::ssize(chunk)) || std::cin.gcount() > 0) {
    const auto* from = reinterpret_cast<const std::byte*>(chunk.data());
    bytes.insert(bytes.end(), from, from + std::cin.gcount());
    if (bytes.size() > kMaxImageBytes) throw Error("standard input: more than 1 GiB for one image");
  }
  if (bytes.empty())
    throw Error("standard input is empty",
                "\"-\" reads one image: nestvit predict ... - < image.jpg");
  return bytes;
}

class InputImages : public Dataset {
 public:
  // `barren`: of the paths, the folders without an image, each with what its turn says.
  InputImages(std::vector<std::string> paths, std::map<std::string, Error> barren,
              const std::vector<std::string>& labels)
      : paths_(std::move(paths)), barren_(std::move(barren)), labels_(labels) {
    for (size_t i = 0; i < labels_.size(); ++i) index_.emplace(labels_[i], static_cast<int>(i));
    if (std::find(paths_.begin(), paths_.end(), kStandardInput) != paths_.end())
      standard_input_ = read_standard_input();
  }

  int64_t size() const override { return std::ssize(paths_); }
  int label(int64_t index) const override {
    const auto name = composed(fs::path(paths_.at(index)).parent_path().filename().string());
    const auto found = index_.find(name.value_or(""));
    return found == index_.end() ? -1 : found->second;
  }
  std::string name(int64_t index) const override { return paths_.at(index); }
  const std::vector<std::string>& classes() const override { return labels_; }
  std::string kind() const override { return "images"; }
  Sample get(int64_t index) const override {
    if (const auto folder = barren_.find(paths_.at(index)); folder != barren_.end())
      throw Error(folder->second);
    Sample sample;
    const bool piped = paths_.at(index) == kStandardInput;
    sample.name = piped ? "standard input" : paths_[index];
    sample.encoded = piped ? standard_input_ : read_file(paths_[index], kMaxImageBytes);
    sample.label = label(index);
    return sample;
  }

 private:
  std::vector<std::string> paths_;
  std::map<std::string, Error> barren_;
  std::vector<std::string> labels_;
  std::map<std::string, int> index_;
  std::vector<std::byte> standard_input_;
};

// The images below a folder, in natural order; says what else is there.
std::vector<std::string> images_below(const fs::path& folder) {
  FoundImages found;
  try {
    found = find_images(folder, "");
  } catch (const fs::filesystem_error& error) {
    throw Error(fmt::format("{}: cannot read the folder: {}", error.path1().string(),
                            error.code().message()));
  }
  for (const std::string& link : found.lost) found.unread.add_lost(link);
  for (const NotRead& note : found.unread.sentences(folder))
    (note.expected ? log_info : log_warning)(note.text);
  if (found.images.empty()) {
    const std::string others = found.unread.kinds();
    throw Error(fmt::format("{}: no image in this folder{}{}", folder.string(),
                            others.empty() ? "" : "; it holds ", others),
                fmt::format("images are recognised by their extension: {}", kImageExtensions));
  }
  for (std::string& image : found.images) image = (folder / image).string();
  std::sort(found.images.begin(), found.images.end(), natural_less);
  return std::move(found.images);
}

}  // namespace

std::unique_ptr<Dataset> open_inputs(const std::vector<std::string>& inputs,
                                     const std::vector<std::string>& labels) {
  std::vector<std::string> paths;
  std::map<std::string, Error> barren;
  for (const std::string& input : inputs) {
    std::error_code error;
    if (input != kStandardInput && fs::is_directory(input, error)) {
      try {
        const std::vector<std::string> found = images_below(input);
        paths.insert(paths.end(), found.begin(), found.end());
      } catch (const Error& nothing) {
        if (inputs.size() == 1) throw;
        barren.emplace(input, nothing);
        paths.push_back(input);
      }
    } else if (input == kStandardInput || fs::exists(input, error) || inputs.size() > 1) {
      // One that is not there among many is found when its turn comes, as one that is broken.
      paths.push_back(input);
    } else {
      throw Error(fmt::format("{}: no such file or folder", input));
    }
  }
  return std::make_unique<InputImages>(std::move(paths), std::move(barren), labels);
}

}  // namespace nestvit::cli
