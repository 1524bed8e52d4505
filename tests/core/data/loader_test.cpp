// The loader: the same batches for any number of workers, errors, skipping, and stopping early.
#include "data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <thread>

#include "base/random.h"
#include "image/transform.h"
#include "support/data/data_files.h"

namespace nestvit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kSide = 4;

// Raw images whose pixels are their index; some indices fail.
class Numbers : public Dataset {
 public:
  explicit Numbers(int64_t size, std::set<int64_t> broken = {})
      : size_(size), broken_(std::move(broken)) {}
  int64_t size() const override { return size_; }
  Sample get(int64_t index) const override {
    if (broken_.contains(index)) throw Error("cannot read it", "copy it again");
    Sample sample;
    sample.image = {kSide, kSide, 1,
                    std::vector<uint8_t>(kSide * kSide, static_cast<uint8_t>(index))};
    sample.label = label(index);
    sample.name = name(index);
    return sample;
  }
  int label(int64_t index) const override { return static_cast<int>(index % 7); }
  std::string name(int64_t index) const override { return "number " + std::to_string(index) + "."; }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string kind() const override { return "numbers"; }

 private:
  int64_t size_;
  std::set<int64_t> broken_;
  std::vector<std::string> classes_ = std::vector<std::string>(7, "c");
};

Preprocessing small() {
  Preprocessing preprocessing;
  preprocessing.image_size = kSide;
  preprocessing.channels = 1;
  preprocessing.mean = {0.5};
  preprocessing.std = {0.25};
  return preprocessing;
}

Pixels plain(const Sample& sample, int64_t) {
  return {kSide, kSide, 1, {sample.image.pixels.begin(), sample.image.pixels.end()}};
}

// Takes a time that has nothing to do with the order, and draws by the index.
Pixels noisy(const Sample& sample, int64_t index) {
  std::this_thread::sleep_for(std::chrono::microseconds(index * 7919 % 300));
  Pixels pixels = plain(sample, index);
  Rng rng(1, Purpose::kTest, 0, static_cast<uint64_t>(index));
  for (float& value : pixels.values) value += rng.uniform();
  return pixels;
}

LoaderOptions options(int workers, int batch_size = 8,
                      OnBadImage on_bad_image = OnBadImage::kError) {
  LoaderOptions result;
  result.batch_size = batch_size;
  result.workers = workers;
  result.on_bad_image = on_bad_image;
  return result;
}

std::vector<Batch> drain(Loader& loader) {
  std::vector<Batch> batches;
  while (auto batch = loader.next()) {
    batches.push_back(*batch);
    loader.recycle(std::move(*batch));
  }
  return batches;
}

bool equal(const Batch& a, const Batch& b) {
  return a.size == b.size && a.images == b.images && a.labels == b.labels && a.indices == b.indices;
}

TEST(Loader, ServesInOrderNormalised) {
  const Numbers dataset(21);
  for (int workers : {0, 1, 3}) {
    Loader loader(dataset, in_order(21), plain, small(), options(workers));
    const auto batches = drain(loader);
    ASSERT_EQ(batches.size(), 3u);
    EXPECT_EQ(batches[2].size, 5);
    int64_t index = 0;
    for (const auto& batch : batches) {
      EXPECT_EQ(batch.height, kSide);
      EXPECT_EQ(batch.width, kSide);
      EXPECT_EQ(batch.channels, 1);
      ASSERT_EQ(batch.images.size(), static_cast<size_t>(batch.size) * kSide * kSide);
      for (int i = 0; i < batch.size; ++i, ++index) {
        EXPECT_EQ(batch.indices[i], index);
        EXPECT_EQ(batch.labels[i], index % 7);
        EXPECT_FLOAT_EQ(batch.images[static_cast<size_t>(i) * kSide * kSide],
                        (static_cast<float>(index) / 255.f - 0.5f) / 0.25f);
      }
    }
    EXPECT_FALSE(loader.next().has_value());
    EXPECT_GE(loader.wait_seconds(), 0);
  }
}

TEST(Loader, FinishesNormalisedImagesByTheirIndex) {
  const Numbers dataset(21);
  Loader bare(dataset, in_order(21), plain, small(), options(0));
  auto expected = drain(bare);
  for (auto& batch : expected)
    for (size_t i = 0; i < batch.images.size(); ++i)
      batch.images[i] += static_cast<float>(batch.indices[i / (kSide * kSide)]);
  for (int workers : {0, 1, 3}) {
    LoaderOptions finishing = options(workers);
    finishing.finish = [](std::span<float> chw, int64_t index) {
      EXPECT_EQ(chw.size(), static_cast<size_t>(kSide) * kSide);
      for (float& v : chw) v += static_cast<float>(index);
    };
    Loader loader(dataset, in_order(21), plain, small(), finishing);
    const auto batches = drain(loader);
    ASSERT_EQ(batches.size(), expected.size());
    for (size_t i = 0; i < batches.size(); ++i) EXPECT_TRUE(equal(batches[i], expected[i]));
  }
}

TEST(Loader, SameBatchesForAnyNumberOfWorkers) {
  const Numbers dataset(200, {5, 80, 81, 199});
  const auto order = shuffled(200, 3, 1);
  for (int batch_size : {1, 7, 64, 300}) {
    Loader alone(dataset, order, noisy, small(), options(0, batch_size, OnBadImage::kSkip));
    const auto expected = drain(alone);
    for (int workers : {1, 2, 5}) {
      Loader loader(dataset, order, noisy, small(),
                    options(workers, batch_size, OnBadImage::kSkip));
      const auto batches = drain(loader);
      ASSERT_EQ(batches.size(), expected.size());
      for (size_t i = 0; i < batches.size(); ++i)
        EXPECT_TRUE(equal(batches[i], expected[i])) << workers << " " << i;
      EXPECT_EQ(loader.skipped(), alone.skipped());
    }
  }
}

TEST(Loader, SkippedImagesShortenTheirBatch) {
  const Numbers dataset(12, {1, 4, 5, 6, 7, 11});
  for (int workers : {0, 2}) {
    Loader loader(dataset, in_order(12), plain, small(), options(workers, 4, OnBadImage::kSkip));
    const auto batches = drain(loader);
    ASSERT_EQ(batches.size(), 2u);  // the second batch was empty
    EXPECT_THAT(batches[0].indices, ElementsAre(0, 2, 3));
    EXPECT_EQ(batches[0].size, 3);
    EXPECT_EQ(batches[0].images.size(), 3u * kSide * kSide);
    EXPECT_FLOAT_EQ(batches[0].images[2 * kSide * kSide], (3.f / 255.f - 0.5f) / 0.25f);
    EXPECT_THAT(batches[1].indices, ElementsAre(8, 9, 10));
    const auto skipped = loader.skipped();
    ASSERT_EQ(skipped.size(), 6u);
    EXPECT_EQ(skipped[0], (std::pair<std::string, std::string>{"number 1.", "cannot read it"}));
    EXPECT_EQ(skipped[5].first, "number 11.");
  }
}

TEST(Loader, FirstErrorInOrderIsThrownWithItsName) {
  const Numbers dataset(100, {29, 30, 90});
  for (int workers : {0, 1, 4}) {
    Loader loader(dataset, in_order(100), noisy, small(), options(workers));
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(loader.next().has_value());
    for (int again = 0; again < 2; ++again) {
      try {
        loader.next();
        FAIL() << "no error";
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("number 29."));
        EXPECT_THAT(error.what(), HasSubstr("cannot read it"));
        EXPECT_EQ(error.hint(), "copy it again");
      }
    }
  }
}

TEST(Loader, NothingReadableIsAnError) {
  const Numbers dataset(3, {0, 1, 2});
  for (int workers : {0, 2}) {
    Loader loader(dataset, in_order(3), plain, small(), options(workers, 2, OnBadImage::kSkip));
    EXPECT_THROW(loader.next(), Error);
  }
}

TEST(Loader, ExceptionsOfAnyTypeReachTheConsumer) {
  const Numbers dataset(20);
  for (int workers : {0, 3}) {
    // Skipping is for bad images, not for our own bugs or a wrong setting.
    for (auto on_bad_image : {OnBadImage::kError, OnBadImage::kSkip}) {
      const auto message_of = [&](const Transform& transform) -> std::string {
        Loader loader(dataset, in_order(20), transform, small(), options(workers, 8, on_bad_image));
        try {
          drain(loader);
        } catch (const std::exception& error) {
          return error.what();
        }
        return "nothing";
      };
      EXPECT_THAT(message_of([](const Sample&, int64_t) -> Pixels { throw 42; }),
                  HasSubstr("number 0.: unknown"));
      EXPECT_THAT(message_of([](const Sample&, int64_t) -> Pixels { throw std::bad_alloc(); }),
                  HasSubstr("number 0."));
      EXPECT_THAT(message_of([](const Sample&, int64_t) -> Pixels {
                    return {1, 1, 1, {0.f}};
                  }),
                  HasSubstr("number 0."));
      EXPECT_THAT(
          message_of([](const Sample&, int64_t) -> Pixels { throw UsageError("no such crop"); }),
          HasSubstr("no such crop"));
    }
  }
}

TEST(Loader, StopsPromptlyWhenTheConsumerLeaves) {
  const Numbers dataset(100000);
  std::atomic<int> done{0};
  const auto begin = std::chrono::steady_clock::now();
  {
    Loader loader(
        dataset, in_order(100000),
        [&](const Sample& sample, int64_t index) {
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
          ++done;
          return plain(sample, index);
        },
        small(), options(4, 64));
    ASSERT_TRUE(loader.next().has_value());
  }
  // One batch and at most `prefetch` more were in work.
  EXPECT_LE(done, 5 * 64);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

TEST(Loader, WorkIsBounded) {
  const Numbers dataset(1000);
  std::atomic<int> done{0};
  LoaderOptions settings = options(3, 10);
  settings.prefetch = 2;
  Loader loader(
      dataset, in_order(1000),
      [&](const Sample& sample, int64_t index) {
        ++done;
        return plain(sample, index);
      },
      small(), settings);
  for (int wait = 0; wait < 200 && done < 20; ++wait)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(done, 20);
}

TEST(Loader, RecyclesBuffers) {
  const Numbers dataset(4000);
  for (int workers : {0, 2}) {
    Loader loader(dataset, in_order(4000), plain, small(), options(workers, 10));
    std::set<const float*> buffers;
    while (auto batch = loader.next()) {
      buffers.insert(batch->images.data());
      loader.recycle(std::move(*batch));
    }
    EXPECT_LE(buffers.size(), 6u);  // prefetch, the one handed out, and one on its way
  }
}

TEST(Loader, RefusesWrongSettings) {
  const Numbers dataset(4);
  EXPECT_THROW(Loader(dataset, in_order(4), plain, small(), options(1, 0)), UsageError);
  EXPECT_THROW(Loader(dataset, in_order(4), plain, small(), options(-1)), UsageError);
  EXPECT_THROW(Loader(dataset, {4}, plain, small(), options(1)), std::logic_error);
  for (int workers : {0, 2}) {
    Loader none(dataset, {}, plain, small(), options(workers));
    EXPECT_FALSE(none.next().has_value());
  }
}

TEST(Loader, RealFilesAndABrokenOne) {
  testing::DataDir folder;
  for (int i = 0; i < 6; ++i)
    folder.png((i % 2 ? "a/" : "b/") + std::to_string(i) + ".png", static_cast<uint8_t>(10 * i), 9);
  folder.text("a/broken.png", "no picture");
  DatasetOptions given;
  given.root = folder.path();
  given.val_share = 0;
  const auto dataset = open_dataset(given);
  ASSERT_EQ(dataset->size(), 7);
  Preprocessing preprocessing = small();
  const Transform transform = [&](const Sample& sample, int64_t) {
    return evaluation_pixels(sample, preprocessing);
  };
  Loader loader(*dataset, in_order(7), transform, preprocessing, options(2, 16, OnBadImage::kSkip));
  const auto batches = drain(loader);
  ASSERT_EQ(batches.size(), 1u);
  EXPECT_EQ(batches[0].size, 6);
  ASSERT_EQ(loader.skipped().size(), 1u);
  EXPECT_THAT(loader.skipped()[0].first, HasSubstr("a/broken.png"));
  Loader strict(*dataset, in_order(7), transform, preprocessing, options(2));
  testing::expect_error([&] { drain(strict); }, {"a/broken.png"});
}

TEST(Shuffled, IsAPermutationOfSeedAndEpoch) {
  const auto order = shuffled(1000, 7, 3);
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, in_order(1000));
  EXPECT_EQ(order, shuffled(1000, 7, 3));
  EXPECT_NE(order, shuffled(1000, 7, 4));
  EXPECT_NE(order, shuffled(1000, 8, 3));
  EXPECT_NE(order, in_order(1000));
  EXPECT_TRUE(shuffled(0, 1, 1).empty());
  EXPECT_THAT(shuffled(1, 1, 1), ElementsAre(0));
}

TEST(Shuffled, EveryPositionIsAsLikely) {
  // 6 orders of 3: chi-square with 5 degrees of freedom exceeds 20.5 once in a thousand fair
  // generators.
  std::map<std::vector<int64_t>, int> seen;
  constexpr int kDraws = 6000;
  for (int epoch = 0; epoch < kDraws; ++epoch) ++seen[shuffled(3, 1, static_cast<uint64_t>(epoch))];
  ASSERT_EQ(seen.size(), 6u);
  double chi = 0;
  for (const auto& [_, count] : seen) chi += (count - 1000.) * (count - 1000.) / 1000.;
  EXPECT_LT(chi, 20.5);
}

TEST(ClassesLeftOut, AreThoseWithoutAnyImageLeft) {
  const testing::DataDir folder;
  for (const char* name : {"cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png", "emu/1.png"})
    folder.png(name);
  DatasetOptions options;
  options.root = folder.path();
  options.val_share = 0;
  const auto data = open_dataset(options);
  std::vector<std::pair<std::string, std::string>> skipped;
  EXPECT_THAT(classes_left_out(*data, skipped), ::testing::IsEmpty());
  for (const char* name : {"cat/1.png", "dog/1.png", "dog/2.png"})
    skipped.emplace_back((folder / name).string(), "broken");
  EXPECT_THAT(classes_left_out(*data, skipped), ::testing::ElementsAre(1));
}

}  // namespace
}  // namespace nestvit
