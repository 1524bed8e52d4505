// A folder of images: the scan of its class folders, and everything that can be wrong with them.
#include "data/formats/folder.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "base/fields.h"
#include "base/unicode.h"
#include "data/classes.h"
#include "data/formats/file_dataset.h"
#include "data/formats/folder_layout.h"
#include "data/formats/image_files.h"
#include "data/index/folder_index.h"
#include "data/names.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

// A class is called like its folder, in the composed form of its name: another system may have
// stored it in another form.
std::string class_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (auto form = composed(name)) return *form;
  throw Error(
      fmt::format("{}: the name of this class folder is not UTF-8", printable(folder.string())),
      fmt::format("rename it, for instance by convmv -f latin1 -t utf8 --notest {}",
                  printable(folder.parent_path().string())));
}

// The classes of the folders in `base`.
std::vector<std::string> classes_of(const fs::path& base, const std::vector<std::string>& folders) {
  std::map<std::string, std::string> seen;  // class, folder
  std::vector<std::string> classes;
  for (const auto& folder : folders) {
    const auto [other, fresh] = seen.emplace(class_of(base / folder), folder);
    if (!fresh)
      throw Error(fmt::format("{}: two class folders are called '{}', in two forms of Unicode",
                              base.string(), other->first),
                  "move the images of one into the other");
    classes.push_back(other->first);
  }
  return classes;
}

// The names of classes, in the order of the indices.
std::vector<std::string> reference_classes(const FolderLayout& layout, const fs::path& own,
                                           const DatasetOptions& options) {
  if (!options.class_map.empty()) return read_class_map(options.class_map).keys;
  auto names = layout.train ? classes_of(*layout.train, list_folder(*layout.train).folders)
               : !layout.classes.empty() ? classes_of(layout.base, layout.classes)
                                         : classes_of(own, list_folder(own).folders);
  sort_classes(names, options.class_order);
  return names;
}

Error unknown_class(const fs::path& folder, const std::vector<std::string>& classes,
                    const DatasetOptions& options, const FolderLayout& layout) {
  const auto name = class_of(folder);
  const auto close = nearest(name, classes);
  const auto source =
      options.class_map.empty() ? layout.base.string() : "class map " + options.class_map.string();
  return Error(fmt::format("{}: class '{}' is not in {}", folder.string(), name, source),
               close.empty() ? "every split must have the same classes"
                             : fmt::format("did you mean '{}'?", close));
}

Error empty_class(const fs::path& base, const std::string& name, const FoundImages& found,
                  size_t empties) {
  std::string hint = fmt::format("add images ({}), or remove the folder", kImageExtensions);
  if (found.unread.files() > 0)
    hint = fmt::format("it holds {} files of other kinds, for instance {}; readable are {}",
                       found.unread.files(), found.unread.first_file(), kImageExtensions);
  return Error(
      fmt::format("{}: class '{}' has no images{}", base.string(), name,
                  empties > 1 ? fmt::format(", and {} more classes have none", empties - 1) : ""),
      hint);
}

// How to go on with files that could hold images.
std::string unpack_hint(const fs::path& folder, const std::vector<std::string>& files) {
  for (const auto& name : files)
    if (const auto command = unpack_command(folder / name, folder); !command.empty())
      return "unpack it first: " + command;
  return "";
}

Error no_classes(const fs::path& base, const FolderLayout& layout) {
  if (layout.val && base != layout.val)
    return Error(fmt::format("{}: no folder 'train' with class folders in it, beside '{}'",
                             base.string(), layout.val->filename().string()),
                 "training images belong into " + (base / "train" / "CLASS").string());
  if (!layout.not_read.empty())
    return Error(layout.not_read.front().text, "there are no other class folders");
  const auto files = list_folder(base).files;
  const auto images = std::count_if(files.begin(), files.end(), has_image_extension);
  std::string holds = "no images found";
  if (images > 0) {
    holds = fmt::format("{} images, but no class folders", images);
  } else if (!files.empty()) {
    Unread unread;
    for (const auto& name : files) unread.add_file(name);
    holds += fmt::format("; it holds {}", unread.kinds());
  }
  const std::string unpack = images > 0 ? "" : unpack_hint(base, files);
  return Error(fmt::format("{}: {}", base.string(), holds),
               !unpack.empty() ? unpack
                               : "put the images of each class into a folder of its own: " +
                                     (base / "CLASS" / "image.jpg").string());
}

Error without_classes(const fs::path& part) {
  const bool val = find_split_named(part.filename().string()) == Split::kVal;
  return Error(fmt::format("{} has no class folders in it", part.string()),
               "put the images of each class into a folder of its own: " +
                   (part / "CLASS" / "image.jpg").string() +
                   (val ? "; or name a file that says their classes: --labels FILE" : ""));
}

std::string one_class_hint(const fs::path& base, const std::vector<std::string>& classes,
                           const FolderLayout& layout) {
  // DIR/unpacked/{cat,dog}: the folder above was given.
  if (classes.size() == 1 && fs::is_directory(base / classes[0]) &&
      list_folder(base / classes[0]).folders.size() > 1)
    return "is " + (base / classes[0]).string() + " the folder that you mean?";
  const auto warning = std::find_if(layout.not_read.begin(), layout.not_read.end(),
                                    [](const NotRead& note) { return !note.expected; });
  return warning == layout.not_read.end() ? "make one folder per class" : warning->text;
}

// The class folders to read.
struct ClassFolders {
  fs::path base;
  std::vector<std::string> folders;  // in `base`
  std::vector<std::string> classes;
  bool strict = false;  // a class without images is an error
};

std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t kShown = 5;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kShown); ++i)
    text += (i > 0 ? ", " : "") + printable(names[i]);
  return names.size() > kShown ? fmt::format("{} and {} more", text, names.size() - kShown) : text;
}

// Finds class folders that are rather parts, or hold whole data sets: folders of classes or parts
// inside, whose images all count as one class.
class InnerFolders {
 public:
  explicit InnerFolders(const ClassFolders& wanted)
      : classes_(wanted.classes.begin(), wanted.classes.end()) {}

  // `folders`: below the class folder `name`, relative to the base.
  void add(const std::string& name, const std::vector<std::string>& folders) {
    std::vector<std::string> inner, like_classes;
    for (const auto& folder : folders) {
      if (std::count(folder.begin(), folder.end(), '/') != 1) continue;
      inner.push_back(folder.substr(name.size() + 1));
      if (inner.back() != name && classes_.contains(inner.back()))
        like_classes.push_back(inner.back());
    }
    std::sort(inner.begin(), inner.end());
    if (common_ && *common_ != inner) common_->clear();
    if (!common_) common_ = std::move(inner);
    if (like_classes.empty()) return;
    if (holders_++ == 0) first_ = {printable(name), some_of(like_classes)};
  }

  void say(const fs::path& base, std::vector<NotRead>& notes) const {
    if (holders_ > 0)
      notes.push_back({fmt::format(
          "{}: inside the class folder {} are folders that are called like classes ({}): their "
          "images all count as '{}'{}",
          printable(base.string()), first_.first, first_.second, first_.first,
          holders_ > 1 ? fmt::format("; {} more class folders are like this", holders_ - 1) : "")});
    else if (common_ && common_->size() > 1)
      notes.push_back(
          {fmt::format("{}: every class folder holds the same folders ({}): all images "
                       "in them are read, and count as the outer class",
                       printable(base.string()), some_of(*common_))});
  }

 private:
  const std::set<std::string> classes_;
  std::optional<std::vector<std::string>> common_;  // of all so far
  int holders_ = 0;
  std::pair<std::string, std::string> first_;
};

void say_empty(const ClassFolders& wanted, const std::vector<std::string>& empty,
               std::vector<NotRead>& notes) {
  const std::string base = printable(wanted.base.string());
  if (!empty.empty())
    notes.push_back({fmt::format("{}: class folders without images: {}", base, some_of(empty))});
  if (wanted.folders.size() < wanted.classes.size())
    notes.push_back({fmt::format("{} has folders for {} of {} classes", base, wanted.folders.size(),
                                 wanted.classes.size()),
                     true});
}

// Every image of the folders, class by class. Folders that are entered go to `stamps`.
FileDataset::Files scan_classes(const ClassFolders& wanted, const fs::path& root,
                                FolderStamps& stamps) {
  const fs::path& base = wanted.base;
  std::unordered_map<std::string, int> label_of;
  for (const auto& name : wanted.classes) label_of.emplace(name, std::ssize(label_of));
  FileDataset::Files files{base, {}, {}, wanted.classes};
  std::optional<FoundImages> first_empty;
  std::vector<std::string> empty;
  Unread unread;
  InnerFolders inner(wanted);
  for (const auto& name : wanted.folders) {
    FoundImages found = find_images(base, name);
    for (const auto& folder : found.folders)
      stamps.add(root, (base / folder).lexically_relative(root).string());
    inner.add(name, found.folders);
    unread.add(found.unread);
    // Reading a link that leads nowhere is an error that names it: a broken image is not
    // overlooked.
    found.images.insert(found.images.end(), found.lost.begin(), found.lost.end());
    std::sort(found.images.begin(), found.images.end());
    for (const auto& image : found.images) files.paths.add(image);
    files.labels.resize(files.paths.size(), label_of.at(class_of(base / name)));
    if (!found.images.empty()) continue;
    empty.push_back(class_of(base / name));
    if (!first_empty) first_empty = std::move(found);
  }
  if (first_empty && (wanted.strict || files.labels.empty()))
    throw empty_class(base, empty.front(), *first_empty, empty.size());
  const Listing listing = list_folder(base);
  for (const auto& name : listing.files) unread.add_file(name, /*beside=*/true);
  for (const auto& name : listing.lost) unread.add_lost(name);
  for (auto& sentence : unread.sentences(base)) files.not_read.push_back(std::move(sentence));
  inner.say(base, files.not_read);
  say_empty(wanted, empty, files.not_read);
  return files;
}

// The folders of `own` that are classes, in the order of `classes`.
std::vector<std::string> class_folders(const fs::path& own, const std::vector<std::string>& folders,
                                       const std::vector<std::string>& classes,
                                       const DatasetOptions& options, const FolderLayout& layout) {
  const std::set<std::string> known(classes.begin(), classes.end());
  const std::vector<std::string> names = classes_of(own, folders);
  std::unordered_map<std::string, std::string> folder_of;
  for (size_t i = 0; i < folders.size(); ++i) {
    if (!known.contains(names[i])) throw unknown_class(own / folders[i], classes, options, layout);
    folder_of.emplace(names[i], folders[i]);
  }
  std::vector<std::string> ordered;
  for (const auto& name : classes)
    if (const auto folder = folder_of.find(name); folder != folder_of.end())
      ordered.push_back(folder->second);
  return ordered;
}

// Training needs images of every class of a class map.
void require_every_folder(const fs::path& base, const std::vector<std::string>& folders,
                          const std::vector<std::string>& classes, const fs::path& class_map) {
  if (folders.size() == classes.size()) return;
  const auto names = classes_of(base, folders);
  const std::set<std::string> present(names.begin(), names.end());
  const auto missing = *std::find_if(classes.begin(), classes.end(),
                                     [&](const auto& name) { return !present.contains(name); });
  throw Error(fmt::format("{}: no folder for class '{}' of class map {}", base.string(), missing,
                          class_map.string()),
              "training needs images of every class: add the folder, or take the line out");
}

}  // namespace

bool looks_like_image_folder(const fs::path& root) { return !list_folder(root).folders.empty(); }

std::unique_ptr<Dataset> open_folder(const DatasetOptions& options, const fs::path& also_read) {
  if (auto known = open_folder_index(options)) return known;
  const fs::path& root = options.root;
  const Split split = parse_split(options.split);
  FolderStamps stamps;
  stamps.add(root, "");
  FolderLayout layout = find_layout(root, also_read);
  for (const auto& folder : layout.looked_at) stamps.add(root, folder);
  if (layout.without_classes) throw without_classes(*layout.without_classes);
  if (split == Split::kTest && !layout.test)
    throw Error(fmt::format("{}: no folder 'test' with class folders in it", root.string()),
                "use --split val");
  const bool part_of_base = split != Split::kTest && !layout.val;  // train and val share a folder
  const fs::path base = layout.part(split).value_or(layout.base);
  auto folders = base == root ? layout.classes : list_folder(base).folders;
  if (folders.empty()) throw no_classes(base, layout);

  const auto classes = reference_classes(layout, base, options);
  if (options.class_map.empty() || split == Split::kTrain)
    require_two_classes(classes, base.string(), one_class_hint(base, classes, layout));
  folders = class_folders(base, folders, classes, options, layout);
  if (split == Split::kTrain) require_every_folder(base, folders, classes, options.class_map);
  auto files =
      scan_classes({base, folders, classes, part_of_base || split == Split::kTrain}, root, stamps);
  if (part_of_base) files = seeded_share(files, options, split);
  if (!options.class_map.empty()) files.classes = read_class_map(options.class_map).names;
  files.not_read.insert(files.not_read.begin(), layout.not_read.begin(), layout.not_read.end());
  if (part_of_base && layout.test)
    files.not_read.push_back({fmt::format("{} is the test part, which only --split test reads; a "
                                          "share of the images to train on is held out",
                                          printable(layout.test->string())),
                              true});
  if (const auto alike = lookalikes(classes); !alike.empty())
    files.not_read.push_back({fmt::format("{}: {}", layout.base.string(), alike)});
  return std::make_unique<FileDataset>("image folder", std::move(files),
                                       folder_index_writer(options, std::move(stamps)));
}

}  // namespace nestvit
