// scale_bench [SAMPLES] [--files]: what so many samples (default 10 million) cost in seconds and
// memory, from opening to batches: a folder opened by its index, as a resumed run does, and a list
// of as many rows. With --files the folder's files are really made (empty), listed once and opened
// by the index of that. Images themselves are made up and tiny: they are not what is measured.
#include <fmt/format.h>
#include <malloc.h>
#include <nestvit/error.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "data/dataset.h"
#include "data/index/folder_index.h"
#include "run/input/batches.h"
#include "run/recipe/resolve.h"

namespace {

using namespace nestvit;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kClasses = 1000;  // as ImageNet

// "VmRSS" or "VmHWM" (its peak), in MB.
double memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key + ":")) return std::stod(line.substr(key.size() + 1)) * 1024 / 1e6;
  throw Error("no " + key + " in /proc/self/status");
}

// Runs a step; prints its time, and what the process has grown by at its end and at its peak.
template <class F>
auto measured(const std::string& what, double base, F step) {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
  const auto start = Clock::now();
  auto result = step();
  fmt::print("  {:44}{:8.2f} s{:9.0f} MB{:9.0f} MB\n", what,
             std::chrono::duration<double>(Clock::now() - start).count(), memory("VmRSS") - base,
             memory("VmHWM") - base);
  return result;
}

std::string class_name(int64_t number) { return fmt::format("n{:08}", number); }
std::string file_name(int64_t samples, int64_t i) {
  const int64_t label = i * kClasses / samples;
  return fmt::format("{0}/{0}_{1}.JPEG", class_name(label), i);
}

// The dataset with images that are made up.
class MadeUp : public Dataset {
 public:
  explicit MadeUp(std::unique_ptr<Dataset> listing) : listing_(std::move(listing)) {}
  int64_t size() const override { return listing_->size(); }
  Sample get(int64_t index) const override {
    Sample sample;
    sample.image = {8, 8, 3, std::vector<uint8_t>(size_t{8} * 8 * 3, static_cast<uint8_t>(index))};
    sample.label = label(index);
    sample.name = name(index);
    return sample;
  }
  int label(int64_t index) const override { return listing_->label(index); }
  std::string name(int64_t index) const override { return listing_->name(index); }
  const std::vector<std::string>& classes() const override { return listing_->classes(); }
  std::string kind() const override { return listing_->kind(); }

 private:
  std::unique_ptr<Dataset> listing_;
};

// Over the border of two epochs, where most is held.
int64_t batches(const Dataset& images,
                const std::vector<std::pair<std::string, std::string>>& more) {
  Settings settings;
  settings.values = {{"input_size", "8"},
                     {"nest.patch_size", "4"},
                     {"nest.num_layers_per_block", "[1, 1]"},
                     {"per_device_batch_size", "256"},
                     {"train_transform", "flip"}};
  settings.values.insert(settings.values.end(), more.begin(), more.end());
  Recipe recipe = apply(Recipe(), settings);
  resolve(recipe, data_facts(images, images));
  const int64_t border = images.size() / recipe.per_device_batch_size;
  Batches stream(recipe, images, 3 * border, 2);
  int64_t got = 0;
  for (int64_t number = std::max<int64_t>(1, border - 50); number < border + 50; ++number)
    if (auto batch = stream.next(number)) got += batch->size;
  if (got == 0) throw Error("no image came");
  return got;
}

void measure_batches(std::unique_ptr<Dataset> train_set, double base) {
  const MadeUp images(std::move(train_set));
  measured("100 batches over the end of an epoch", base, [&] { return batches(images, {}); });
  measured("the same, classes balanced", base, [&] {
    return batches(images, {{"data.sampler", "balanced"}});
  });
}

struct Parts {
  std::unique_ptr<Dataset> train, val;
};

Parts open(const fs::path& root, const fs::path& indexes, int64_t samples) {
  const auto part = [&](const std::string& split) {
    DatasetOptions options;
    options.root = root;
    options.split = split;
    if (!indexes.empty()) options.index = indexes / split;
    return open_dataset(options);
  };
  Parts parts{part("train"), part("val")};
  if (parts.train->size() + parts.val->size() != samples)
    throw Error(fmt::format("{} + {} samples, expected {}", parts.train->size(), parts.val->size(),
                            samples));
  return parts;
}

void age(const fs::path& root) {
  const auto then = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& entry : fs::directory_iterator(root)) fs::last_write_time(entry.path(), then);
  fs::last_write_time(root, then);
}

// An index as listing the files would write it, of folders that are empty.
void write_index(const fs::path& root, const fs::path& indexes, int64_t samples) {
  FileDataset::Files files{root, {}, {}, {}};
  for (int c = 0; c < kClasses; ++c) files.classes.push_back(class_name(c));
  for (int64_t i = 0; i < samples; ++i) {
    files.paths.add(file_name(samples, i));
    files.labels.push_back(static_cast<int>(i * kClasses / samples));
  }
  for (const Split split : {Split::kTrain, Split::kVal}) {
    DatasetOptions options;
    options.root = root;
    options.split = split_names(split).front();
    FolderStamps stamps;
    stamps.add(root, "");
    for (const auto& name : files.classes) stamps.add(root, name);
    folder_index_writer(options, std::move(stamps))(seeded_share(files, options, split),
                                                    indexes / options.split);
  }
}

void measure_folder(const fs::path& work, int64_t samples, bool real_files) {
  const fs::path root = work / "folder", indexes = work / "indexes";
  fs::create_directories(indexes);
  for (int c = 0; c < kClasses; ++c) fs::create_directories(root / class_name(c));
  if (real_files)
    for (int64_t i = 0; i < samples; ++i) std::ofstream(root / file_name(samples, i));
  age(root);
  const double base = memory("VmRSS");
  if (real_files) {
    const Parts parts = measured("folder: listed", base, [&] { return open(root, {}, samples); });
    parts.train->save_index(indexes / "train");
    parts.val->save_index(indexes / "val");
  } else {
    write_index(root, indexes, samples);
  }
  Parts parts =
      measured("folder: opened by its index", base, [&] { return open(root, indexes, samples); });
  measure_batches(std::move(parts.train), base);
}

void measure_list(const fs::path& work, int64_t samples) {
  const fs::path list = work / "list.csv";
  {
    std::ofstream file(list);
    for (int64_t i = 0; i < samples; ++i)
      file << file_name(samples, i) << ',' << class_name(i * kClasses / samples) << '\n';
  }
  fs::create_directories(work / class_name(0));
  const std::ofstream empty(work / file_name(samples, 0));
  const double base = memory("VmRSS");
  Parts parts =
      measured("list of as many rows: read", base, [&] { return open(list, {}, samples); });
  measure_batches(std::move(parts.train), base);
}

void run(int64_t samples, bool real_files) {
  std::string pattern = (fs::temp_directory_path() / "nestvit-scale-XXXXXX").string();
  if (!mkdtemp(pattern.data())) throw Error("cannot make " + pattern);
  const fs::path work = pattern;
  fmt::print("{} samples; memory beyond what the program has before it opens them\n", samples);
  fmt::print("  {:44}{:>10}{:>12}{:>12}\n", "", "time", "then", "at its peak");
  try {
    measure_folder(work, samples, real_files);
    if (!real_files) measure_list(work, samples);
  } catch (...) {
    fs::remove_all(work);
    throw;
  }
  fs::remove_all(work);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const bool real_files = argc > 2 && std::string(argv[2]) == "--files";
    run(argc > 1 ? std::atoll(argv[1]) : 10'000'000, real_files);
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
