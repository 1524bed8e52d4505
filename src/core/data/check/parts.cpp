// Walks through a folder of images without stopping at errors, and opens the parts of other
// datasets.
#include "data/check/parts.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <set>
#include <string_view>

#include "base/log.h"
#include "data/formats/file_dataset.h"
#include "data/formats/folder.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

bool ignored(const std::string& name) { return name.starts_with('.') || name == "__MACOSX"; }

struct Listing {
  std::vector<std::string> folders, files;  // sorted
};

Listing list_folder(const fs::path& folder) {
  Listing listing;
  for (const auto& entry : fs::directory_iterator(folder)) {
    auto name = entry.path().filename().string();
    if (ignored(name)) continue;
    std::error_code dangling;
    auto& group = entry.is_directory(dangling) ? listing.folders : listing.files;
    group.push_back(std::move(name));
  }
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.files.begin(), listing.files.end());
  return listing;
}

std::string format_of_file(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return "";
  std::array<char, 32> head{};
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), head.size());
  return content_format(std::as_bytes(
      std::span(head.data(), static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)))));
}

// One part of a folder of images: `base` with its class folders.
class PartWalk {
 public:
  PartWalk(fs::path base, std::string part, std::vector<Finding>* findings)
      : part_(std::move(part)), findings_(findings) {
    files_.base = std::move(base);
  }

  FileDataset::Files walk(const std::vector<std::string>& classes) {
    for (const auto& name : list_folder(files_.base).files)
      look_at_stray(name, "", "class folders");
    files_.classes = classes;
    for (size_t k = 0; k < classes.size(); ++k) {
      images_.clear();
      entered_.clear();
      walk_class(classes[k], classes[k]);
      std::sort(images_.begin(), images_.end());
      for (const std::string& image : images_) files_.paths.add(image);
      files_.labels.resize(files_.paths.size(), static_cast<int>(k));
      if (images_.empty())
        findings_->push_back({FindingKind::kEmptyClass, part_, classes[k], "",
                              "no image in " + (files_.base / classes[k]).string()});
    }
    return std::move(files_);
  }

 private:
  void walk_class(const std::string& relative, const std::string& class_name) {
    // Links can form circles: every folder is entered once.
    struct stat status {};
    if (::stat((files_.base / relative).c_str(), &status) != 0 ||
        !entered_.emplace(status.st_dev, status.st_ino).second)
      return;
    const Listing listing = list_folder(files_.base / relative);
    for (const auto& name : listing.files)
      if (has_image_extension(name))
        images_.push_back(relative + "/" + name);
      else
        look_at_stray(relative + "/" + name, class_name, "");
    for (const auto& name : listing.folders) walk_class(relative + "/" + name, class_name);
  }

  // Reports a file that training does not read, if it is a picture.
  void look_at_stray(const std::string& relative, const std::string& class_name,
                     const std::string& beside) {
    const std::string format = format_of_file(files_.base / relative);
    if (format.empty()) return;
    const std::string why = beside.empty()
                                ? fmt::format("its extension is none of {}", kImageExtensions)
                                : "it lies beside the " + beside;
    findings_->push_back({FindingKind::kIgnored, part_, class_name,
                          (files_.base / relative).string(),
                          fmt::format("a {} file is not read: {}", format, why)});
  }

  FileDataset::Files files_;
  std::vector<std::string> images_;  // of the class that is walked
  std::string part_;
  std::vector<Finding>* findings_;
  std::set<std::pair<dev_t, ino_t>> entered_;
};

std::optional<fs::path> find_part(const fs::path& root, Split split) {
  for (const auto& name : split_names(split))
    if (fs::is_directory(root / name) && !list_folder(root / name).folders.empty())
      return root / name;
  return std::nullopt;
}

void add_part(CheckParts* parts, const std::string& name, FileDataset::Files files) {
  if (files.paths.size() > 0)
    parts->parts.emplace_back(name,
                              std::make_unique<FileDataset>("image folder", std::move(files)));
}

// In the layout of data/formats/folder.h: split folders, or class folders in the root.
CheckParts walk_folder(const DatasetOptions& options) {
  CheckParts parts;
  parts.kind = "image folder";
  const auto train = find_part(options.root, Split::kTrain);
  const auto val = find_part(options.root, Split::kVal);
  const auto test = find_part(options.root, Split::kTest);
  const auto walk = [&](const fs::path& base, const std::string& name,
                        const std::vector<std::string>& classes) {
    return PartWalk(base, name, &parts.findings).walk(classes);
  };
  if (train) {
    add_part(&parts, "train", walk(*train, "train", list_folder(*train).folders));
  } else {
    std::vector<std::string> classes;
    for (const auto& name : list_folder(options.root).folders)
      if (options.root / name != val && options.root / name != test &&
          find_split_named(name) != Split::kTest)
        classes.push_back(name);
    parts.undivided = !val;
    auto files = walk(options.root, val ? "train" : "", classes);
    if (parts.undivided) {
      for (const Split split : {Split::kTrain, Split::kVal})
        add_part(&parts, split_names(split).front(), seeded_share(files, options, split));
    } else {
      add_part(&parts, "train", std::move(files));
    }
  }
  if (val) add_part(&parts, "val", walk(*val, "val", list_folder(*val).folders));
  if (test) add_part(&parts, "test", walk(*test, "test", list_folder(*test).folders));
  return parts;
}

std::unique_ptr<Dataset> open_part(DatasetOptions options, const std::string& split) {
  options.split = split;
  return open_dataset(options);
}

bool may_be_folder(const DatasetOptions& options) {
  const bool named =
      options.name == "folder" || options.name == "image-folder" || options.name == "imagefolder";
  return (named || options.name.empty()) && fs::is_directory(options.root) &&
         looks_like_image_folder(options.root);
}

// Adds a val/ without class folders that training reads all the same: ImageNet's validation images.
void add_labelled_val(CheckParts* parts, const DatasetOptions& options) {
  for (const auto& part : parts->parts)
    if (part.first == "val") return;
  try {
    auto val = open_part(options, "val");
    if (val->kind() != "image folder") parts->parts.emplace_back("val", std::move(val));
  } catch (const Error&) {  // there is none
  }
}

}  // namespace

std::string content_format(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto has = [&](std::string_view word, size_t at = 0) {
    return text.size() >= at + word.size() && text.substr(at, word.size()) == word;
  };
  using namespace std::string_view_literals;
  if (has("\xFF\xD8\xFF")) return "jpeg";
  if (has("\x89PNG\r\n\x1A\n")) return "png";
  if (has("RIFF") && has("WEBP", 8)) {
    // The extended header's flags; bit 1: animation.
    const bool animated = has("VP8X", 12) && text.size() > 20 && (text[20] & 2) != 0;
    return animated ? "animated WebP" : "webp";
  }
  if (has("GIF87a") || has("GIF89a")) return "GIF";
  if (has("BM") && has("\0\0\0\0"sv, 6)) return "BMP";
  if (has("II*\0"sv) || has("MM\0*"sv)) return "TIFF";
  for (const char* brand : {"avif", "avis", "heic", "heix", "mif1", "msf1"})
    if (has("ftyp", 4) && has(brand, 8)) return "AVIF or HEIC";
  return "";
}

bool is_refused_format(const std::string& format) {
  return !format.empty() && format != "jpeg" && format != "png" && format != "webp";
}

CheckParts open_check_parts(const DatasetOptions& options) {
  std::unique_ptr<Dataset> train;
  std::optional<Error> problem;
  try {
    train = open_part(options, "train");
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    problem = error;
  }
  try {
    if (train ? train->kind() == "image folder" : may_be_folder(options)) {
      CheckParts parts = walk_folder(options);
      add_labelled_val(&parts, options);
      if (parts.parts.empty()) throw problem.value_or(Error("no image found"));
      return parts;
    }
  } catch (const fs::filesystem_error& error) {
    throw Error(fmt::format("{}: {}", error.path1().string(), error.code().message()),
                "the data must be readable by this user");
  }
  CheckParts parts;
  if (train) parts.parts.emplace_back("train", std::move(train));
  try {
    parts.parts.emplace_back("val", open_part(options, "val"));
  } catch (const Error& error) {
    if (problem) throw *problem;
    log_warning(fmt::format("only \"train\" is checked: {}", error.what()));
  }
  parts.kind = parts.parts.front().second->kind();
  return parts;
}

}  // namespace nestvit
