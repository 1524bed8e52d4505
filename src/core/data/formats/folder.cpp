// A folder of images: which folders are splits and which are classes, and the scan for images.
#include "data/formats/folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>

#include "base/fields.h"
#include "data/classes.h"
#include "data/formats/file_dataset.h"
#include "data/index/folder_index.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

// Hidden files, and the folder that macOS adds to zip archives.
bool ignored(const std::string& name) { return name.starts_with('.') || name == "__MACOSX"; }

// The content of a folder, without that of its sub-folders. A link counts as its target; a dangling
// link counts as a file, so that a broken image is reported and not overlooked.
struct Listing {
  std::vector<std::string> folders, files;
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
  return listing;
}

// Collects the images of one class.
class ClassScan {
 public:
  // Adds every folder that is entered to `stamps`.
  void scan(const fs::path& root, const fs::path& base, const std::string& relative,
            FolderStamps& stamps) {
    // Links can form circles: every folder is entered once.
    struct stat status {};
    if (::stat((base / relative).c_str(), &status) != 0 ||
        !entered_.emplace(status.st_dev, status.st_ino).second)
      return;
    stamps.add(root, (base / relative).lexically_relative(root).string());
    Listing listing = list_folder(base / relative);
    for (const auto& name : listing.files)
      if (has_image_extension(name))
        images.push_back(relative + "/" + name);
      else if (other++ == 0)
        first_other = relative + "/" + name;
    for (const auto& name : listing.folders) scan(root, base, relative + "/" + name, stamps);
  }

  std::vector<std::string> images;
  int64_t other = 0;
  std::string first_other;

 private:
  std::set<std::pair<dev_t, ino_t>> entered_;
};

// DIR/train is a split only when it has folders in it: with images directly inside it is a class of
// that name.
std::optional<fs::path> find_split(const fs::path& root, Split split) {
  for (const auto& name : split_names(split))
    if (fs::is_directory(root / name) && !list_folder(root / name).folders.empty())
      return root / name;
  return std::nullopt;
}

struct Layout {
  std::optional<fs::path> train, val, test;
  std::vector<std::string> flat;  // class folders directly in root
  fs::path base;                  // the folder of the classes to train on: train, or root
};

Layout find_layout(const fs::path& root) {
  Layout layout{find_split(root, Split::kTrain),
                find_split(root, Split::kVal),
                find_split(root, Split::kTest),
                {},
                {}};
  layout.base = layout.train.value_or(root);
  if (layout.train) return layout;
  const auto folders = list_folder(root).folders;
  const bool only_splits = std::all_of(folders.begin(), folders.end(), is_split);
  for (const auto& name : folders) {
    const fs::path path = root / name;
    if (path == layout.val || path == layout.test || find_split_named(name) == Split::kTest)
      continue;
    if (only_splits)
      throw Error(fmt::format("{} has no class folders in it", path.string()),
                  "put the images of each class into a folder of its own: " +
                      (path / "CLASS" / "image.jpg").string() +
                      (find_split_named(name) == Split::kVal
                           ? "; or name a file that says their classes: --labels FILE"
                           : ""));
    layout.flat.push_back(name);
  }
  return layout;
}

// The names of class folders, in the order of the indices.
std::vector<std::string> reference_classes(const Layout& layout, const fs::path& own,
                                           const DatasetOptions& options) {
  if (!options.class_map.empty()) return read_class_map(options.class_map).keys;
  auto names = layout.train           ? list_folder(*layout.train).folders
               : !layout.flat.empty() ? layout.flat
                                      : list_folder(own).folders;
  sort_classes(names, options.class_order);
  return names;
}

Error unknown_class(const fs::path& folder, const std::vector<std::string>& classes,
                    const DatasetOptions& options, const Layout& layout) {
  const auto name = folder.filename().string();
  const auto close = nearest(name, classes);
  const auto source =
      options.class_map.empty() ? layout.base.string() : "class map " + options.class_map.string();
  return Error(fmt::format("{}: class '{}' is not in {}", folder.string(), name, source),
               close.empty() ? "every split must have the same classes"
                             : fmt::format("did you mean '{}'?", close));
}

Error empty_class(const fs::path& base, const std::string& name, const ClassScan& scan,
                  size_t empties) {
  std::string hint = fmt::format("add images ({}), or remove the folder", kImageExtensions);
  if (scan.other > 0)
    hint = fmt::format("it holds {} files of other kinds, for instance {}; readable are {}",
                       scan.other, scan.first_other, kImageExtensions);
  return Error(
      fmt::format("{}: class '{}' has no images{}", base.string(), name,
                  empties > 1 ? fmt::format(", and {} more classes have none", empties - 1) : ""),
      hint);
}

Error no_classes(const fs::path& base, const Layout& layout) {
  if (layout.val && base != layout.val)
    return Error(fmt::format("{}: no folder 'train' with class folders in it, beside '{}'",
                             base.string(), layout.val->filename().string()),
                 "training images belong into " + (base / "train" / "CLASS").string());
  const auto files = list_folder(base).files;
  const auto images = std::count_if(files.begin(), files.end(), has_image_extension);
  return Error(images ? fmt::format("{}: {} images, but no class folders", base.string(), images)
                      : fmt::format("{}: no images found", base.string()),
               "put the images of each class into a folder of its own: " +
                   (base / "CLASS" / "image.jpg").string());
}

std::string one_class_hint(const fs::path& base, const std::vector<std::string>& classes) {
  // DIR/unpacked/{cat,dog}: the folder above was given.
  if (classes.size() == 1 && fs::is_directory(base / classes[0]) &&
      list_folder(base / classes[0]).folders.size() > 1)
    return "is " + (base / classes[0]).string() + " the folder that you mean?";
  return "make one folder per class";
}

// The class folders to read.
struct ClassFolders {
  fs::path base;
  std::vector<std::string> folders;  // in `base`
  std::vector<std::string> classes;
  bool strict = false;  // a class without images is an error
};

// Every image of the folders, class by class.
FileDataset::Files scan_classes(const ClassFolders& wanted, const fs::path& root,
                                FolderStamps& stamps) {
  const auto& [base, folders, classes, strict] = wanted;
  std::unordered_map<std::string, int> label_of;
  for (size_t i = 0; i < classes.size(); ++i) label_of.emplace(classes[i], static_cast<int>(i));
  FileDataset::Files files{base, {}, {}, classes, {}};
  std::optional<std::pair<std::string, ClassScan>> empty;
  size_t empties = 0;
  for (const auto& name : folders) {
    ClassScan found;
    found.scan(root, base, name, stamps);
    std::sort(found.images.begin(), found.images.end());
    for (const auto& image : found.images) files.paths.add(image);
    files.labels.resize(files.paths.size(), label_of.at(name));
    if (found.images.empty() && ++empties == 1) empty.emplace(name, std::move(found));
  }
  if (empty && (strict || files.labels.empty()))
    throw empty_class(base, empty->first, empty->second, empties);
  return files;
}

// The folders of `own` that are classes, in the order of `classes`.
std::vector<std::string> class_folders(const fs::path& own, const std::vector<std::string>& folders,
                                       const std::vector<std::string>& classes,
                                       const DatasetOptions& options, const Layout& layout) {
  const std::set<std::string> known(classes.begin(), classes.end());
  std::set<std::string> present;
  for (const auto& name : folders) {
    if (!known.contains(name)) throw unknown_class(own / name, classes, options, layout);
    present.insert(name);
  }
  std::vector<std::string> ordered;
  for (const auto& name : classes)
    if (present.contains(name)) ordered.push_back(name);
  return ordered;
}

}  // namespace

bool looks_like_image_folder(const fs::path& root) { return !list_folder(root).folders.empty(); }

std::unique_ptr<Dataset> open_folder(const DatasetOptions& options) {
  if (auto known = open_folder_index(options)) return known;
  const fs::path& root = options.root;
  const Split split = parse_split(options.split);
  FolderStamps stamps;
  stamps.add(root, "");
  for (const Split any : {Split::kTrain, Split::kVal, Split::kTest})
    for (const auto& name : split_names(any)) stamps.add(root, name);
  const Layout layout = find_layout(root);
  if (split == Split::kTest && !layout.test)
    throw Error(fmt::format("{}: no folder 'test' with class folders in it", root.string()),
                "use --split val");
  const auto& own = split == Split::kVal    ? layout.val
                    : split == Split::kTest ? layout.test
                                            : layout.train;
  const bool part_of_base = split != Split::kTest && !layout.val;  // train and val share a folder
  const fs::path base = own.value_or(layout.base);
  auto folders = base == root ? layout.flat : list_folder(base).folders;
  if (folders.empty()) throw no_classes(base, layout);

  const auto classes = reference_classes(layout, base, options);
  if (options.class_map.empty() || split == Split::kTrain)
    require_two_classes(classes, base.string(), one_class_hint(base, classes));
  folders = class_folders(base, folders, classes, options, layout);
  if (split == Split::kTrain && folders.size() < classes.size()) {
    const auto missing = *std::find_if(classes.begin(), classes.end(), [&](const auto& name) {
      return std::find(folders.begin(), folders.end(), name) == folders.end();
    });
    throw Error(fmt::format("{}: no folder for class '{}' of class map {}", base.string(), missing,
                            options.class_map.string()),
                "training needs images of every class: add the folder, or take the line out");
  }
  auto files =
      scan_classes({base, folders, classes, part_of_base || split == Split::kTrain}, root, stamps);
  if (part_of_base) files = seeded_share(files, options, split);
  if (!options.class_map.empty()) files.classes = read_class_map(options.class_map).names;
  return std::make_unique<FileDataset>("image folder", std::move(files),
                                       folder_index_writer(options, std::move(stamps)));
}

}  // namespace nestvit
