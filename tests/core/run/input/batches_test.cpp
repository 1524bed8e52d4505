// Batches of a run: the same from any number on, shared without gaps, and in little memory.
#include "run/input/batches.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/system/sanitized.h"
#include "data/formats/file_dataset.h"
#include "run/recipe/resolve.h"
#include "support/brightness.h"

namespace nestvit {
namespace {

Recipe small(const Dataset& images, const Settings::Values& more) {
  Settings settings;
  settings.values = {{"input_size", "8"},
                     {"nest.patch_size", "4"},
                     {"nest.num_layers_per_block", "[1, 1]"},
                     {"train_transform", "none"}};
  settings.values.insert(settings.values.end(), more.begin(), more.end());
  Recipe recipe = apply(Recipe(), settings);
  resolve(recipe, data_facts(images, images));
  return recipe;
}

// Everything that draws: crops, augmentation, erasing, mixing.
Recipe drawing(const Dataset& images, const Settings::Values& more = {}) {
  Settings::Values values = {{"per_device_batch_size", "3"},
                             {"train_transform", "crop"},
                             {"augment.type", "randaugment"},
                             {"randerasing.erase_prob", "0.5"},
                             {"mix.mixup_alpha", "0.8"}};
  values.insert(values.end(), more.begin(), more.end());
  return small(images, values);
}

constexpr int64_t kLast = 12;  // batches of 3 from 10 images: three epochs and a part

// Images and mixed labels of batch `number`.
std::pair<std::vector<float>, std::vector<float>> contents(Batches& batches, int64_t number) {
  std::optional<Batch> batch = batches.next(number);
  if (!batch) return {};
  std::vector<float> targets = batches.targets(*batch, number);
  return {std::move(batch->images), std::move(targets)};
}

TEST(Batches, ABatchIsAFunctionOfItsNumber) {
  const Brightness images(10);
  const Recipe recipe = drawing(images);
  Batches whole(recipe, images, kLast, 1);
  std::vector<std::pair<std::vector<float>, std::vector<float>>> expected;
  for (int64_t number = 1; number <= kLast; ++number) expected.push_back(contents(whole, number));
  EXPECT_EQ(expected[0].first.size(), 3U * 3 * 8 * 8);
  EXPECT_EQ(expected[0].second.size(), 3U * 2);
  EXPECT_NE(expected[0], expected[1]);
  for (const int64_t first : {2, 4, 11}) {
    Batches part(recipe, images, kLast, /*workers=*/3);
    for (int64_t number = first; number <= kLast; ++number)
      EXPECT_EQ(contents(part, number), expected[number - 1]) << number << " from " << first;
  }
}

TEST(Batches, ShardsHoldTheWhole) {
  const Brightness images(10);
  const Recipe recipe = drawing(images, {{"grad_accum_steps", "4"}});
  Batches whole(recipe, images, kLast, 1);
  Batches first(recipe, images, kLast, 1, {0, 2}), second(recipe, images, kLast, 1, {1, 2});
  for (int64_t number = 1; number <= kLast; ++number) {
    const bool own = BatchShard{0, 2}.owns(number, 4);
    EXPECT_EQ(contents(own ? first : second, number), contents(whole, number)) << number;
  }
}

// Each batch of a step belongs to one process, whatever their numbers.
TEST(BatchShard, EveryBatchOnce) {
  for (const int64_t step_batches : {1, 4, 6})
    for (int size = 1; size <= step_batches; ++size)
      for (int64_t number = 1; number <= 3 * step_batches; ++number) {
        int owners = 0;
        for (int rank = 0; rank < size; ++rank)
          owners += BatchShard{rank, size}.owns(number, step_batches);
        EXPECT_EQ(owners, 1) << number << " of " << step_batches << " by " << size;
      }
}

// A list of files with pictures that need no files.
class Listed : public Brightness {
 public:
  explicit Listed(FileDataset listing)
      : Brightness(listing.size(), -1, listing.kind()), listing_(std::move(listing)) {}
  int label(int64_t index) const override { return listing_.label(index); }
  std::string name(int64_t index) const override { return listing_.name(index); }

 private:
  FileDataset listing_;
};

int64_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  return -1;
}

// bench/scale_bench shows the same of ten million.
TEST(Batches, AMillionSamplesTakeAHundredBytesEach) {
#ifdef NESTVIT_SANITIZED
  GTEST_SKIP() << "sanitizers take memory of their own";
#endif
  constexpr int64_t kImages = 1'000'000;
  for (const char* sampler : {"shuffle", "balanced"}) {
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
    const int64_t before = peak_bytes();
    FileDataset::Files files{"data", {}, {}, {"dark", "bright"}};
    for (int64_t i = 0; i < kImages; ++i) {
      files.paths.add("n" + std::to_string(10'000'000 + i / 1000) + "/n" +
                      std::to_string(10'000'000 + i / 1000) + "_" + std::to_string(i) + ".JPEG");
      files.labels.push_back(static_cast<int>(i % 2));
    }
    const Listed images(FileDataset("image folder", std::move(files)));
    const Recipe recipe =
        small(images, {{"per_device_batch_size", "100"}, {"data.sampler", sampler}});
    Batches batches(recipe, images, 3 * kImages / 100, 1);
    for (int64_t number = kImages / 100 - 5; number < kImages / 100 + 5; ++number)
      EXPECT_EQ(batches.next(number)->size, 100);
    EXPECT_LT(peak_bytes() - before, 100 * kImages) << sampler;
  }
}

}  // namespace
}  // namespace nestvit
