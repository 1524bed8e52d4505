// Opening a dataset: by its name, or by what the folder holds.
#include "data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <functional>

#include "base/check.h"
#include "base/fields.h"
#include "data/cifar.h"
#include "data/folder.h"
#include "data/idx.h"
#include "data/list.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

// A kind of dataset: the names that --dataset accepts, and whether a folder looks like it.
struct Kind {
  std::vector<std::string> names;
  std::function<bool(const fs::path& root)> recognise;
  std::function<std::unique_ptr<Dataset>(const DatasetOptions&)> open;
};

// In the order in which they are tried: a stray list beside class folders does not make a list.
const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {{"fashion-mnist"},
       [](const fs::path&) { return false; },
       [](const DatasetOptions& options) { return open_idx(options, true); }},
      {{"idx", "mnist"},
       [](const fs::path& root) { return find_idx(root).has_value(); },
       [](const DatasetOptions& options) { return open_idx(options, false); }},
      {{"cifar10"},
       [](const fs::path& root) { return find_cifar(root, CifarKind::kCifar10).has_value(); },
       [](const DatasetOptions& options) { return open_cifar(options, CifarKind::kCifar10); }},
      {{"cifar100"},
       [](const fs::path& root) { return find_cifar(root, CifarKind::kCifar100).has_value(); },
       [](const DatasetOptions& options) { return open_cifar(options, CifarKind::kCifar100); }},
      {{"csv"},
       [](const fs::path& root) {
         return find_list(root, Split::kTrain) ||
                (!looks_like_image_folder(root) && lists_in(root).size() == 1);
       },
       open_list},
      {{"folder"}, [](const fs::path&) { return true; }, open_folder},
  };
  return all;
}

// "torch/CIFAR10" and "fashion_mnist" are how timm and torchvision spell theirs.
std::string plain_name(std::string name) {
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c == '_' ? '-' : c;
  if (name.starts_with("torch/")) name.erase(0, 6);
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
  throw UsageError(fmt::format("unknown dataset '{}'; known are {}", name, fmt::join(known, ", ")),
                   close.empty() ? "leave --dataset out to have it recognised"
                                 : fmt::format("did you mean '{}'?", close));
}

std::unique_ptr<Dataset> open_file(const DatasetOptions& options) {
  const bool asked = !options.name.empty() && find_kind(options.name).names.front() == "csv";
  if (asked || (options.name.empty() && is_list(options.root))) return open_list(options);
  throw Error(
      fmt::format("{} is a file; expected a folder", options.root.string()),
      "data is a folder of images, a folder with IDX or CIFAR files, or a .csv or .tsv list");
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

}  // namespace

std::unique_ptr<Dataset> open_dataset(const DatasetOptions& given) {
  DatasetOptions options = given;
  parse_split(options.split);
  const Kind* kind = options.name.empty() ? nullptr : &find_kind(options.name);
  if (options.root.empty() && kind == &kinds().front() && fs::is_directory(system_fashion_mnist()))
    options.root = system_fashion_mnist();
  if (options.root.empty()) throw UsageError("no data given", "name the folder: --data-dir DIR");
  try {
    if (!fs::exists(options.root))
      throw Error(fmt::format("{}: no such file or folder", options.root.string()),
                  "check --data-dir");
    if (!fs::is_directory(options.root)) return open_file(options);
    if (!kind)
      kind = &*std::find_if(kinds().begin(), kinds().end(),
                            [&](const Kind& k) { return k.recognise(options.root); });
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
