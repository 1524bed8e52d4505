// CIFAR-10 and CIFAR-100: record checks, and memory-mapped files as a dataset.
#include "data/formats/cifar.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <stdexcept>

#include "base/file.h"
#include "base/log.h"
#include "data/classes.h"
#include "data/formats/image_files.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 32;
constexpr int64_t kPlane = kSide * kSide;

// The differences between the two.
struct Layout {
  std::string kind, folder, title;
  int label_bytes;  // the last of them is the label
  int classes;
  std::vector<std::string> train, test;
  std::string names_file;
  std::vector<std::string> names;

  int64_t record() const { return label_bytes + 3 * kPlane; }
};

const Layout& layout(CifarKind kind) {
  static const Layout cifar10 = {
      "cifar10",
      "cifar-10-batches-bin",
      "CIFAR-10",
      1,
      10,
      {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
       "data_batch_5.bin"},
      {"test_batch.bin"},
      "batches.meta.txt",
      {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}};
  static const Layout cifar100 = {"cifar100",
                                  "cifar-100-binary",
                                  "CIFAR-100",
                                  2,
                                  100,
                                  {"train.bin"},
                                  {"test.bin"},
                                  "fine_label_names.txt",
                                  numbered_classes(100, "class ")};
  return kind == CifarKind::kCifar10 ? cifar10 : cifar100;
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

class CifarDataset : public Dataset {
 public:
  struct Part {
    std::shared_ptr<const MappedFile> file;
    int64_t first;  // index of its first image
  };
  CifarDataset(CifarKind kind, std::string split, std::vector<std::string> classes)
      : kind_(kind), split_(std::move(split)), classes_(std::move(classes)) {}
  void add(const fs::path& path) {
    auto file = MappedFile::open(path);
    const int64_t count = check_cifar(file->bytes(), kind_, path.string());
    parts_.push_back({std::move(file), size_});
    size_ += count;
  }
  int64_t size() const override { return size_; }
  Sample get(int64_t index) const override {
    const Part& part = find(index);
    Sample sample = cifar_sample(part.file->bytes(), kind_, index - part.first);
    sample.name = name(index);
    return sample;
  }
  int label(int64_t index) const override {
    const Part& part = find(index);
    const auto& form = layout(kind_);
    return static_cast<int>(
        part.file->bytes()[(index - part.first) * form.record() + form.label_bytes - 1]);
  }
  std::string name(int64_t index) const override { return fmt::format("{}/{}", split_, index); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string kind() const override { return layout(kind_).kind; }

 private:
  const Part& find(int64_t index) const {
    if (index < 0 || index >= size_)
      throw std::out_of_range("CIFAR image " + std::to_string(index));
    return *std::prev(std::upper_bound(parts_.begin(), parts_.end(), index,
                                       [](int64_t i, const Part& part) { return i < part.first; }));
  }
  CifarKind kind_;
  std::string split_;
  std::vector<std::string> classes_;
  std::vector<Part> parts_;
  int64_t size_ = 0;
};

std::vector<std::string> read_names(const fs::path& folder, const Layout& form) {
  const auto path = folder / form.names_file;
  if (!is_file(path)) return form.names;
  auto names = read_class_map(path).names;
  if (static_cast<int>(names.size()) != form.classes)
    throw Error(
        fmt::format("{}: {} class names, expected {}", path.string(), names.size(), form.classes),
        "without this file the usual names are used");
  return names;
}

// Whose version `root` holds instead: "Python", "MATLAB", or "" for neither.
std::string other_version(const fs::path& root, const Layout& form) {
  const bool ten = form.classes == 10;
  std::error_code ignored;
  const auto there = [&](const char* name) { return fs::exists(root / name, ignored); };
  if (ten ? is_file(root / "data_batch_1") || there("cifar-10-batches-py")
          : (is_file(root / "meta") && is_file(root / "train")) || there("cifar-100-python"))
    return "Python";
  const bool matlab =
      ten ? there("data_batch_1.mat") || there("cifar-10-batches-mat") : there("cifar-100-matlab");
  return matlab ? "MATLAB" : "";
}

Error not_found(const fs::path& root, const Layout& form) {
  std::string hint = fmt::format("name the folder that holds {}, or the one above it", form.folder);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(root, ignored)) {
    const auto command = unpack_command(entry.path(), root);
    if (entry.path().filename().string().starts_with("cifar-") && !command.empty())
      hint = "unpack it first: " + command;
  }
  if (const std::string version = other_version(root, form); !version.empty())
    hint = fmt::format(
        "this is the {} version; nestvit reads the binary version (*.bin): nestvit "
        "pull {} fetches it",
        version, form.kind);
  return Error(fmt::format("{}: no {} in it", root.string(), form.train.front()), hint);
}

}  // namespace

int64_t check_cifar(std::span<const std::byte> file, CifarKind kind, const std::string& origin) {
  const Layout& form = layout(kind);
  const auto size = static_cast<int64_t>(file.size());
  if (size == 0 || size % form.record() != 0)
    throw Error(fmt::format("{}: {} bytes, which is not a whole number of {} records of {} bytes",
                            origin, size, form.title, form.record()),
                "an incomplete download? Copy the file again");
  for (int64_t i = 0; i < size / form.record(); ++i) {
    const int label = static_cast<int>(file[i * form.record() + form.label_bytes - 1]);
    if (label >= form.classes)
      throw Error(fmt::format("{}: record {} has label {}, expected 0 to {}", origin, i, label,
                              form.classes - 1),
                  fmt::format("is it really the binary version of {}?", form.title));
  }
  return size / form.record();
}

Sample cifar_sample(std::span<const std::byte> file, CifarKind kind, int64_t index) {
  const Layout& form = layout(kind);
  const auto record = file.subspan(index * form.record(), form.record());
  const std::byte* planes = record.data() + form.label_bytes;
  Sample sample;
  sample.label = static_cast<int>(record[form.label_bytes - 1]);
  sample.image.height = sample.image.width = kSide;
  sample.image.channels = 3;
  sample.image.pixels.resize(sample.image.size());
  for (int64_t p = 0; p < kPlane; ++p)
    for (int c = 0; c < 3; ++c)
      sample.image.pixels[p * 3 + c] = static_cast<uint8_t>(planes[c * kPlane + p]);
  return sample;
}

std::optional<fs::path> find_cifar(const fs::path& root, CifarKind kind) {
  const Layout& form = layout(kind);
  for (const auto& folder : {root, root / form.folder})
    if (is_file(folder / form.train.front()) || is_file(folder / form.test.front())) return folder;
  return std::nullopt;
}

bool looks_like_cifar(const fs::path& root, CifarKind kind) {
  return find_cifar(root, kind) || !other_version(root, layout(kind)).empty();
}

std::unique_ptr<Dataset> open_cifar(const DatasetOptions& options, CifarKind kind) {
  const Layout& form = layout(kind);
  const auto folder = find_cifar(options.root, kind);
  if (!folder) throw not_found(options.root, form);
  const bool train = parse_split(options.split) == Split::kTrain;
  auto classes = class_names(options, form.classes, read_names(*folder, form));
  auto dataset = std::make_unique<CifarDataset>(kind, train ? "train" : "test", std::move(classes));
  std::vector<std::string> missing;
  for (const auto& name : train ? form.train : form.test)
    if (is_file(*folder / name))
      dataset->add(*folder / name);
    else
      missing.push_back(name);
  if (dataset->size() == 0)
    throw Error(fmt::format("{}: no {}", folder->string(), missing.front()),
                "is the download complete?");
  if (!missing.empty())
    log_warning(fmt::format("{}: {} missing; going on with {} images", folder->string(),
                            fmt::join(missing, ", "), dataset->size()));
  return dataset;
}

}  // namespace nestvit
