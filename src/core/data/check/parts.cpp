// Walks through a folder of images without stopping at errors, and opens the parts of other
// datasets.
#include "data/check/parts.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <set>
#include <string_view>

#include "base/log.h"
#include "base/unicode.h"
#include "data/formats/file_dataset.h"
#include "data/formats/folder.h"
#include "data/formats/folder_layout.h"
#include "data/formats/image_files.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

std::string format_of_file(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return "";
  std::array<char, 32> head{};
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), head.size());
  return content_format(std::as_bytes(
      std::span(head.data(), static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)))));
}

// What training says at its start about the data as a whole, once.
class Notes {
 public:
  void add(const NotRead& note) {
    if (seen_.insert(note.text).second) notes_.push_back(note);
  }
  void add(const std::vector<NotRead>& notes) {
    for (const NotRead& note : notes) add(note);
  }
  void leave_out(const std::string& text) { seen_.insert(text); }

  void give(CheckParts* parts) const {
    for (const NotRead& note : notes_)
      if (note.expected)
        parts->not_read.push_back(note.text);
      else
        parts->findings.push_back({FindingKind::kStructure, "", "", "", note.text});
  }

 private:
  std::vector<NotRead> notes_;
  std::set<std::string> seen_;
};

// One part of a folder of images: `base` with its class folders.
class PartWalk {
 public:
  PartWalk(fs::path base, std::string part, std::vector<Finding>* findings, Notes* notes)
      : part_(std::move(part)), findings_(findings), notes_(notes) {
    files_.base = std::move(base);
  }

  FileDataset::Files walk(const std::vector<std::string>& folders) {
    for (const auto& name : list_folder(files_.base).files) look_at_stray(name, "");
    for (const auto& folder : folders) walk_class(folder);
    for (const NotRead& note : strays_.sentences(files_.base))
      if (note.expected)
        notes_->add(note);
      else
        notes_->leave_out(note.text);  // each file is a finding
    return std::move(files_);
  }

 private:
  void walk_class(const std::string& folder) {
    const std::string name = composed(folder).value_or(folder);
    FoundImages found = find_images(files_.base, folder,
                                    [&](const std::string& file) { look_at_stray(file, name); });
    found.images.insert(found.images.end(), found.lost.begin(), found.lost.end());
    std::sort(found.images.begin(), found.images.end());
    for (const std::string& image : found.images) files_.paths.add(image);
    files_.labels.resize(files_.paths.size(), static_cast<int>(std::ssize(files_.classes)));
    files_.classes.push_back(name);
    if (found.images.empty())
      findings_->push_back({FindingKind::kEmptyClass, part_, name, "",
                            "no image in " + (files_.base / folder).string()});
  }

  // Reports a file that training does not read, if it is or could be a picture. `class_name` "": it
  // lies beside the class folders.
  void look_at_stray(const std::string& relative, const std::string& class_name) {
    const bool beside = class_name.empty();
    strays_.add_file(relative, beside);
    const std::string format = format_of_file(files_.base / relative);
    if (format.empty() && is_expected_file(relative, beside)) return;
    const std::string why = beside ? "it lies beside the class folders"
                                   : fmt::format("its extension is none of {}", kImageExtensions);
    findings_->push_back(
        {FindingKind::kIgnored, part_, class_name, (files_.base / relative).string(),
         fmt::format("a {}file is not read: {}", format.empty() ? "" : format + " ", why)});
  }

  FileDataset::Files files_;
  Unread strays_;
  std::string part_;
  std::vector<Finding>* findings_;
  Notes* notes_;
};

void add_part(CheckParts* parts, const std::string& name, FileDataset::Files files) {
  if (files.paths.size() > 0)
    parts->parts.emplace_back(name,
                              std::make_unique<FileDataset>("image folder", std::move(files)));
}

// The parts of data/formats/folder_layout.h, also where training would refuse them.
CheckParts walk_folder(const DatasetOptions& options, const FolderLayout& layout, Notes* notes) {
  CheckParts parts;
  parts.kind = "image folder";
  const auto walk = [&](const fs::path& base, const std::string& name,
                        const std::vector<std::string>& folders) {
    return PartWalk(base, name, &parts.findings, notes).walk(folders);
  };
  if (layout.train) {
    add_part(&parts, "train", walk(*layout.train, "train", list_folder(*layout.train).folders));
  } else {
    parts.undivided = !layout.val;
    auto files = walk(options.root, layout.val ? "train" : "", layout.classes);
    if (parts.undivided && files.paths.size() > 0) {
      for (const Split split : {Split::kTrain, Split::kVal})
        add_part(&parts, split_names(split).front(), seeded_share(files, options, split));
    } else {
      add_part(&parts, "train", std::move(files));
    }
  }
  for (const auto& [name, folder] : {std::pair("val", layout.val), std::pair("test", layout.test)})
    if (folder) add_part(&parts, name, walk(*folder, name, list_folder(*folder).folders));
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

// `train`: as training opens it; null where it refuses, for `problem`.
CheckParts folder_parts(const DatasetOptions& options, const Dataset* train,
                        std::optional<Error> problem) {
  const FolderLayout layout = find_layout(options.root);
  Notes notes;
  CheckParts parts = walk_folder(options, layout, &notes);
  notes.add(train ? train->not_read() : layout.not_read);
  try {
    auto val = open_part(options, "val");
    notes.add(val->not_read());
    // A val/ without class folders that training reads all the same: ImageNet's.
    const bool has_val = std::any_of(parts.parts.begin(), parts.parts.end(),
                                     [](const auto& part) { return part.first == "val"; });
    if (!has_val && val->kind() != "image folder") parts.parts.emplace_back("val", std::move(val));
  } catch (const Error& error) {
    if (!problem) problem = error;
  }
  if (parts.parts.empty()) throw problem.value_or(Error("no image found"));
  if (problem) parts.findings.push_back({FindingKind::kRefused, "", "", "", problem->what()});
  notes.give(&parts);
  return parts;
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
    if (train ? train->kind() == "image folder" : may_be_folder(options))
      return folder_parts(options, train.get(), problem);
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
  // Other formats take the test part for val where there is no other.
  if (parts.kind == "list") try {
      parts.parts.emplace_back("test", open_part(options, "test"));
    } catch (const Error&) {  // there is none
    }
  Notes notes;
  for (const auto& part : parts.parts) notes.add(part.second->not_read());
  notes.give(&parts);
  return parts;
}

}  // namespace nestvit
