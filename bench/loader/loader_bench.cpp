// loader_bench FOLDER IMAGES [--scaled]: reads IMAGES images of a folder with class folders
// through the loader with one worker and timm's whole training transform at 224 (random resized
// crop, flip, rand-m9-mstd0.5-inc1, colour jitter, normalisation, erasing). Checks that a batch is
// the same twice and not the same as another; then prints one line of JSON. bench/loader/run.py
// runs it beside its peers.
#include <fmt/format.h>
#include <nestvit/error.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>

#include "data/dataset.h"
#include "data/loader.h"
#include "image/pipeline.h"
#include "image/transform.h"

namespace {

using namespace nestvit;

constexpr uint64_t kSeed = 1;
constexpr int kBatch = 32;

double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

AugmentSettings augment_settings(const Preprocessing& preprocessing) {
  AugmentSettings settings;
  settings.timm_randaugment = parse_timm_randaugment("rand-m9-mstd0.5-inc1");
  for (size_t c = 0; c < 3; ++c)
    settings.timm_randaugment->fill[c] =
        static_cast<uint8_t>(std::nearbyint(255 * preprocessing.mean[c]));
  settings.jitter = ColorJitter{};
  settings.erasing = RandomErasing{.erase_prob = 0.25, .style = EraseStyle::kTimm};
  return settings;
}

// `images` indices from `first` on, around and around, each time drawn anew.
std::vector<int64_t> order(const Dataset& data, int64_t images) {
  std::vector<int64_t> order;
  while (std::ssize(order) < images) {
    const auto pass = shuffled(data.size(), kSeed, static_cast<uint64_t>(std::ssize(order)));
    order.insert(order.end(), pass.begin(), pass.end());
  }
  order.resize(static_cast<size_t>(images));
  return order;
}

class Pipeline {
 public:
  Pipeline(const Dataset& data, Decoding decoding)
      : data_(data),
        decoding_(decoding),
        preprocessing_(preprocessing_mode("timm", 224)),
        augmentation_(augment_settings(preprocessing_), kSeed) {}

  std::unique_ptr<Loader> open(int64_t images, uint64_t epoch) const {
    LoaderOptions options;
    options.batch_size = kBatch;
    options.workers = 1;
    options.finish = [this, epoch](std::span<float> chw, int64_t index) {
      augmentation_.finish(chw, 224, 224, epoch, static_cast<uint64_t>(index));
    };
    return std::make_unique<Loader>(
        data_, order(data_, images),
        [this, epoch](const Sample& sample, int64_t index) {
          const auto number = static_cast<uint64_t>(index);
          Rng rng(kSeed, Purpose::kTransform, epoch, number);
          return augmentation_.pixels(
              training_pixels(sample, preprocessing_, TrainTransform::kRrc, rng, decoding_), epoch,
              number);
        },
        preprocessing_, options);
  }

 private:
  const Dataset& data_;
  Decoding decoding_;
  Preprocessing preprocessing_;
  Augmentation augmentation_;
};

void check(const Pipeline& pipeline) {
  const auto batch = [&](uint64_t epoch) { return pipeline.open(kBatch, epoch)->next()->images; };
  const std::vector<float> first = batch(0);
  if (first != batch(0) || first == batch(1) ||
      !std::all_of(first.begin(), first.end(), [](float v) { return std::abs(v) < 10; }))
    throw Error("a batch is not what it should be: not timed");
}

void run(const std::string& folder, int64_t images, Decoding decoding) {
  DatasetOptions options;
  options.root = folder;
  options.val_share = 0;
  const auto data = open_dataset(options);
  const Pipeline pipeline(*data, decoding);
  check(pipeline);
  const auto loader = pipeline.open(images, 2);
  const double used = processor_seconds();
  const auto start = std::chrono::steady_clock::now();
  int64_t got = 0;
  while (auto batch = loader->next()) {
    got += batch->size;
    loader->recycle(std::move(*batch));
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  fmt::print("{{\"images_per_s\": {:.3f}, \"images_per_processor_s\": {:.3f}}}\n",
             static_cast<double>(got) / took.count(),
             static_cast<double>(got) / (processor_seconds() - used));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const bool scaled = argc == 4 && std::string(argv[3]) == "--scaled";
    if (argc != 3 && !scaled) throw UsageError("usage: loader_bench FOLDER IMAGES [--scaled]");
    run(argv[1], std::atoll(argv[2]), scaled ? Decoding::kScaled : Decoding::kExact);
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
