// Opening a dataset: by its name, or by what the folder holds.
#include "data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <functional>

#include "base/check.h"
#include "base/fields.h"
#include "base/text.h"
#include "data/formats/cifar.h"
#include "data/formats/folder.h"
#include "data/formats/idx.h"
#include "data/formats/imagenet.h"
#include "data/formats/list.h"
#include "data/index/folder_index.h"
#include "data/shards/tfds.h"
#include "data/shards/webdataset.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

// A kind of dataset: the names that --dataset accepts, and whether a folder looks like it.
struct Kind {
  std::vector<std::string> names;
  std::function<bool(const DatasetOptions&)> recognise;
  std::function<std::unique_ptr<Dataset>(const DatasetOptions&)> open;
  bool in_tfds = false;  // without a folder it is looked for among the datasets of TFDS
};

// By its own files, or as TFDS stores it.
Kind cifar(const std::string& name, CifarKind kind) {
  return {{name},
          [=](const DatasetOptions& options) { return find_cifar(options.root, kind).has_value(); },
          [=](const DatasetOptions& options) {
            const bool own = find_cifar(options.root, kind).has_value();
            return !own && has_tfds(options.root, name) ? open_tfds(options)
                                                        : open_cifar(options, kind);
          },
          true};
}

// In the order in which they are tried: a stray list beside class folders does not make a list.
const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {{"fashion-mnist"},
       [](const DatasetOptions&) { return false; },
       [](const DatasetOptions& options) { return open_idx(options, true); }},
      {{"tfds", "imagenet2012"},
       [](const DatasetOptions& options) { return looks_like_tfds(options.root); },
       open_tfds,
       true},
      {{"imagenet"}, looks_like_imagenet, open_imagenet, true},
      {{"idx", "mnist"},
       [](const DatasetOptions& options) { return find_idx(options.root).has_value(); },
       [](const DatasetOptions& options) { return open_idx(options, false); }},
      cifar("cifar10", CifarKind::kCifar10),
      cifar("cifar100", CifarKind::kCifar100),
      {{"csv"},
       [](const DatasetOptions& options) {
         return find_list(options.root, Split::kTrain) ||
                (!looks_like_image_folder(options.root) && lists_in(options.root).size() == 1);
       },
       open_list},
      {{"wds", "webdataset"},
       [](const DatasetOptions& options) {
         return looks_like_webdataset(options.root) && !looks_like_image_folder(options.root);
       },
       open_webdataset},
      {{"folder"}, [](const DatasetOptions&) { return true; }, open_folder},
  };
  return all;
}

// "torch/CIFAR10" and "fashion_mnist" are how timm and torchvision spell theirs.
std::string plain_name(const std::string& given) {
  std::string name = ascii_lower(given);
  std::replace(name.begin(), name.end(), '_', '-');
  if (name.starts_with("torch/")) name.erase(0, 6);
  if (name.starts_with("tfds/")) return "tfds";
  if (name.starts_with("wds/")) return "wds";
  if (name == "fashionmnist") return "fashion-mnist";
  if (name == "image-folder" || name == "imagefolder") return "folder";
  if (name == "tsv" || name == "list") return "csv";
  return name == "cifar-10" ? "cifar10" : name == "cifar-100" ? "cifar100" : name;
}

const Kind& find_kind(const std::string& name) {
  std::vector<std::string> known;
  for (const Kind& kind : kinds())
    for (const auto& own : kind.names) {
      if (own == plain_name(name)) return kind;
      known.push_back(own);
    }
  const auto close = nearest(plain_name(name), known);
  throw UsageError(
      fmt::format("unknown dataset '{}'; known are {}, tfds/NAME", name, fmt::join(known, ", ")),
      close.empty() ? "leave --dataset out to have it recognised"
                    : fmt::format("did you mean '{}'?", close));
}

std::unique_ptr<Dataset> open_file(const DatasetOptions& options) {
  const bool asked = !options.name.empty() && find_kind(options.name).names.front() == "csv";
  if (asked || (options.name.empty() && is_list(options.root))) return open_list(options);
  throw Error(
      fmt::format("{} is a file; expected a folder", options.root.string()),
      "data is a folder of images, a folder of TFDS, IDX, CIFAR or .tar files, or a .csv or "
      ".tsv list");
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
  const std::vector<std::string>& classes() const override { return all_->classes(); }
  std::string kind() const override { return all_->kind(); }

 private:
  std::unique_ptr<Dataset> all_;
  std::vector<int64_t> indices_;
};

// Where data of that kind lies when no folder is given.
fs::path usual_place(const Kind* kind, const std::string& name) {
  if (kind == &kinds().front() && fs::is_directory(system_fashion_mnist()))
    return system_fashion_mnist();
  if (kind && kind->in_tfds && !tfds_data_dir().empty() && name != "tfds") return tfds_data_dir();
  throw UsageError("no data given", "name the folder: --data-dir DIR");
}

}  // namespace

std::unique_ptr<Dataset> open_dataset(const DatasetOptions& given) {
  DatasetOptions options = given;
  parse_split(options.split);
  const Kind* kind = options.name.empty() ? nullptr : &find_kind(options.name);
  if (options.root.empty()) options.root = usual_place(kind, options.name);
  try {
    if (names_shards(options.root)) return open_webdataset(options);  // a pattern is no file
    if (!fs::exists(options.root))
      throw Error(
          fmt::format("{}: no such file or folder", options.root.string()),
          given.root.empty() ? "give --data-dir, or set TFDS_DATA_DIR" : "check --data-dir");
    if (!fs::is_directory(options.root)) return open_file(options);
    // Recognising a folder of images looks into every class folder for other forms.
    const bool may_be_folder = options.labels_file.empty() && (!kind || kind == &kinds().back());
    if (may_be_folder)
      if (auto known = open_folder_index(options)) return known;
    if (!kind)
      kind = &*std::find_if(kinds().begin(), kinds().end(),
                            [&](const Kind& k) { return k.recognise(options); });
    if (!options.labels_file.empty() && kind->names.front() != "imagenet")
      throw UsageError(
          fmt::format("{} is of the kind '{}', which has labels of its own: --labels {} is not for "
                      "it",
                      options.root.string(), kind->names.front(), options.labels_file.string()),
          "labels are for images without class folders, directly in DIR/val or DIR");
    if (may_be_folder && kind == &kinds().back()) options.index.clear();  // it was no use above
    return kind->open(options);
  } catch (const fs::filesystem_error& error) {
    throw Error(fmt::format("{}: {}", error.path1().string(), error.code().message()),
                "the data must be readable by this user");
  }
}

std::unique_ptr<Dataset> subset(std::unique_ptr<Dataset> dataset, std::vector<int64_t> indices) {
  return std::make_unique<Subset>(std::move(dataset), std::move(indices));
}

}  // namespace nestvit
