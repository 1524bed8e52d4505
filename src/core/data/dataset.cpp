// Opening a dataset: by its name, or by what the folder holds.
#include "data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <functional>
#include <set>

#include "base/check.h"
#include "base/fields.h"
#include "base/log.h"
#include "base/text.h"
#include "base/unicode.h"
#include "data/formats/cifar.h"
#include "data/formats/folder.h"
#include "data/formats/idx.h"
#include "data/formats/image_files.h"
#include "data/formats/imagenet.h"
#include "data/formats/list.h"
#include "data/index/folder_index.h"
#include "data/shards/tfds.h"
#include "data/shards/webdataset.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

// A kind of dataset: what --dataset calls it, and whether a folder looks like it.
struct Kind {
  std::string name;                        // "tfds" stands before the name of one: "tfds/NAME"
  std::vector<std::string> synonyms = {};  // accepted, too
  std::function<bool(const DatasetOptions&)> recognise;
  std::function<std::unique_ptr<Dataset>(const DatasetOptions&)> open;
  // Where such data lies when no folder is given; empty where there is none.
  std::function<fs::path()> usual_place = [] { return fs::path(); };
  bool is_folder = false;          // of images, which may have an index
  bool is_list = false;            // a file
  bool takes_labels_file = false;  // for --labels
};

bool never(const DatasetOptions&) { return false; }

fs::path debian_fashion_mnist() {
  return fs::is_directory(system_fashion_mnist()) ? system_fashion_mnist() : fs::path();
}

// By its own files, or as TFDS stores it.
Kind cifar(const std::string& name, const std::string& synonym, CifarKind kind) {
  return {.name = name,
          .synonyms = {synonym},
          .recognise =
              [=](const DatasetOptions& options) { return looks_like_cifar(options.root, kind); },
          .open =
              [=](const DatasetOptions& options) {
                const bool own = find_cifar(options.root, kind).has_value();
                return !own && has_tfds(options.root, name) ? open_tfds(options)
                                                            : open_cifar(options, kind);
              },
          .usual_place = tfds_data_dir};
}

// In the order in which they are tried: a stray list beside class folders does not make a list.
const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {.name = "tfds",
       .recognise = [](const DatasetOptions& options) { return looks_like_tfds(options.root); },
       .open = open_tfds,
       .usual_place = tfds_data_dir},
      {.name = "imagenet2012", .recognise = never, .open = open_tfds, .usual_place = tfds_data_dir},
      {.name = "imagenet",
       .recognise = looks_like_imagenet,
       .open = open_imagenet,
       .usual_place = tfds_data_dir,
       .takes_labels_file = true},
      {.name = "idx",
       .synonyms = {"mnist"},
       .recognise =
           [](const DatasetOptions& options) { return find_idx(options.root).has_value(); },
       .open = [](const DatasetOptions& options) { return open_idx(options, false); }},
      {.name = "fashion-mnist",
       .synonyms = {"fashionmnist"},
       .recognise = never,
       .open = [](const DatasetOptions& options) { return open_idx(options, true); },
       .usual_place = debian_fashion_mnist},
      cifar("cifar10", "cifar-10", CifarKind::kCifar10),
      cifar("cifar100", "cifar-100", CifarKind::kCifar100),
      {.name = "csv",
       .synonyms = {"tsv", "list"},
       .recognise =
           [](const DatasetOptions& options) {
             return find_list(options.root, Split::kTrain) ||
                    (!looks_like_image_folder(options.root) && lists_in(options.root).size() == 1);
           },
       .open = open_list,
       .is_list = true},
      {.name = "wds",
       .synonyms = {"webdataset"},
       .recognise =
           [](const DatasetOptions& options) { return looks_like_webdataset(options.root); },
       .open = open_webdataset},
      {.name = "folder",
       .synonyms = {"image-folder", "imagefolder"},
       .recognise = [](const DatasetOptions&) { return true; },
       .open = [](const DatasetOptions& options) { return open_folder(options); },
       .is_folder = true},
  };
  return all;
}

// "torch/CIFAR10" and "fashion_mnist" are how timm and torchvision spell theirs.
std::string plain_name(const std::string& given) {
  std::string name = ascii_lower(given);
  std::replace(name.begin(), name.end(), '_', '-');
  if (name.starts_with("torch/")) name.erase(0, 6);
  for (const char* prefix : {"tfds", "wds"})
    if (name.starts_with(std::string(prefix) + "/")) return prefix;
  return name;
}

const Kind& find_kind(const std::string& given) {
  const std::string name = plain_name(given);
  std::vector<std::string> known;
  for (const Kind& kind : kinds()) {
    known.push_back(kind.name);
    known.insert(known.end(), kind.synonyms.begin(), kind.synonyms.end());
    if (std::find(known.begin(), known.end(), name) != known.end()) return kind;
  }
  const auto close = nearest(name, known);
  throw UsageError(
      fmt::format("unknown dataset '{}'; known are {}", given, dataset_names_text("and")),
      close.empty() ? "leave --dataset out to have it recognised"
                    : fmt::format("did you mean '{}'?", close));
}

std::unique_ptr<Dataset> open_file(const DatasetOptions& options) {
  const bool asked = !options.name.empty() && find_kind(options.name).is_list;
  if (asked || (options.name.empty() && is_list(options.root))) return open_list(options);
  const std::string unpack = unpack_command(options.root, options.root.parent_path() / "DIR");
  throw Error(
      fmt::format("{} is {}; expected a folder", options.root.string(),
                  unpack.empty() ? "a file" : "an archive"),
      !unpack.empty()
          ? "unpack it first: " + unpack
          : "data is a folder of images, a folder of TFDS, IDX, CIFAR or .tar files, or a .csv "
            "or .tsv list");
}

class Subset : public Dataset {
 public:
  Subset(std::unique_ptr<Dataset> all, std::vector<int64_t> indices)
      : all_(std::move(all)), indices_(std::move(indices)) {
    for (int64_t i : indices_) NESTVIT_CHECK(i >= 0 && i < all_->size());
  }
  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  Sample get(int64_t index) const override { return all_->get(indices_.at(index)); }
  int label(int64_t index) const override { return all_->label(indices_.at(index)); }
  std::string name(int64_t index) const override { return all_->name(indices_.at(index)); }
  std::string key(int64_t index) const override { return all_->key(indices_.at(index)); }
  const std::vector<std::string>& classes() const override { return all_->classes(); }
  std::string kind() const override { return all_->kind(); }
  std::vector<NotRead> not_read() const override { return all_->not_read(); }

 private:
  std::unique_ptr<Dataset> all_;
  std::vector<int64_t> indices_;
};

fs::path usual_place(const Kind* kind, const std::string& name) {
  const fs::path place = kind && name != "tfds" ? kind->usual_place() : fs::path();
  if (place.empty()) throw UsageError("no data given", "name the folder: --data-dir DIR");
  return place;
}

// Runs, models and results name classes in JSON and YAML, which are UTF-8.
std::unique_ptr<Dataset> with_utf8_classes(std::unique_ptr<Dataset> dataset, const fs::path& root) {
  for (const std::string& name : dataset->classes())
    if (!composed(name))
      throw Error(
          fmt::format("{}: the class name '{}' is not UTF-8", root.string(), printable(name)),
          "convert the file that names it: iconv -f latin1 -t utf-8 FILE > NEW");
  return dataset;
}

std::unique_ptr<Dataset> open_any(const DatasetOptions& given) {
  DatasetOptions options = given;
  parse_split(options.split);
  const Kind* kind = options.name.empty() ? nullptr : &find_kind(options.name);
  if (options.root.empty()) options.root = usual_place(kind, options.name);
  try {
    // A pattern of shards is not a file.
    if (names_shards(options.root)) return open_webdataset(options);
    if (!fs::exists(options.root))
      throw Error(
          fmt::format("{}: no such file or folder", options.root.string()),
          given.root.empty() ? "give --data-dir, or set TFDS_DATA_DIR" : "check --data-dir");
    if (!fs::is_directory(options.root)) return open_file(options);
    // Recognising a folder of images looks into every class folder for other forms.
    const bool may_be_folder = options.labels_file.empty() && (!kind || kind->is_folder);
    if (may_be_folder)
      if (auto known = open_folder_index(options)) return known;
    if (!kind)
      kind = &*std::find_if(kinds().begin(), kinds().end(),
                            [&](const Kind& k) { return k.recognise(options); });
    if (!options.labels_file.empty() && !kind->takes_labels_file)
      throw UsageError(
          fmt::format(
              "{} is of the kind '{}', which has labels of its own: --labels {} is not for it",
              options.root.string(), kind->name, options.labels_file.string()),
          "labels are for images without class folders, directly in DIR/val or DIR");
    // An index that did not serve above does not serve now.
    if (may_be_folder && kind->is_folder) options.index.clear();
    return kind->open(options);
  } catch (const fs::filesystem_error& error) {
    throw Error(fmt::format("{}: {}", error.path1().string(), error.code().message()),
                "the data must be readable by this user");
  }
}

}  // namespace

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
  for (const Kind& kind : kinds())
    names.push_back(kind.name == "tfds" ? kind.name + "/NAME" : kind.name);
  return names;
}

std::string dataset_names_text(const std::string& conjunction) {
  const std::vector<std::string> names = dataset_names();
  return fmt::format("{} {} {}", fmt::join(names.begin(), names.end() - 1, ", "), conjunction,
                     names.back());
}

std::unique_ptr<Dataset> open_dataset(const DatasetOptions& given) {
  return with_utf8_classes(open_any(given), given.root);
}

void say_not_read(const std::vector<const Dataset*>& datasets) {
  std::set<std::string> said;
  for (const Dataset* dataset : datasets) {
    if (!dataset) continue;
    for (const NotRead& note : dataset->not_read())
      if (said.insert(note.text).second) (note.expected ? log_info : log_warning)(note.text);
  }
}

std::unique_ptr<Dataset> subset(std::unique_ptr<Dataset> dataset, std::vector<int64_t> indices) {
  return std::make_unique<Subset>(std::move(dataset), std::move(indices));
}

}  // namespace nestvit
