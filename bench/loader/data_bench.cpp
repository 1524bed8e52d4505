// data_bench: microseconds per image, on one core, of each step of the two training input chains
// (CIFAR at 32, ImageNet at 224 with the paper's augmentation), on made-up pictures. Each step is
// checked before it is timed: the right size, the same result twice, and a result that depends on
// the picture.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>

#include "image/augment/mix.h"
#include "image/codecs/codec.h"
#include "image/pipeline.h"
#include "image/transform.h"

namespace {

using namespace nestvit;

constexpr uint64_t kSeed = 1;
constexpr float kLevel = 0.9f;  // the recipes' RandAugment magnitude, 9 of 10

struct Chain {
  const char* name;
  int side, height, width;  // of the input, and of the stored picture
  TrainTransform transform;
  bool encoded, jitter;
  int batch;
};

// Smooth shapes with some noise: neither flat nor random, as photographs are.
Image picture(int height, int width, uint64_t seed) {
  Image image{height, width, 3, {}};
  image.pixels.resize(image.size());
  Rng rng(kSeed, Purpose::kTest, 0, seed);
  const float waves = 2 + 4 * rng.uniform();
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) {
        const float u = static_cast<float>(x) / static_cast<float>(width),
                    v = static_cast<float>(y) / static_cast<float>(height);
        const float value = 128 + 80 * std::sin(waves * (u + static_cast<float>(c) * v)) +
                            12 * (rng.uniform() - 0.5f);
        image.pixels[(static_cast<size_t>(y) * width + x) * 3 + c] = saturate_u8(value);
      }
  return image;
}

// The median of several timings of many calls, each call with another number.
double microseconds(const std::function<void(uint64_t)>& call) {
  using Clock = std::chrono::steady_clock;
  const auto timed = [&](uint64_t calls) {
    const auto start = Clock::now();
    for (uint64_t i = 0; i < calls; ++i) call(i);
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  };
  uint64_t calls = 8;
  while (timed(calls) < 20'000) calls *= 2;
  std::vector<double> runs;
  for (int i = 0; i < 7; ++i) runs.push_back(timed(calls) / static_cast<double>(calls));
  std::sort(runs.begin(), runs.end());
  return runs[runs.size() / 2];
}

void require(bool ok, const std::string& step) {
  if (!ok) throw Error(step + " gives a wrong result: not timed");
}

void print(const std::string& step, double cost) { fmt::print("  {:34}{:10.1f}\n", step, cost); }

// `make(picture number, draw)`: what one step makes of a picture.
template <typename Make>
void measure(const std::string& step, const Make& make) {
  const auto first = make(0, 0);
  require(first == make(0, 0) && first != make(1, 0), step);
  print(step, microseconds([&](uint64_t i) { make(i % 2, i); }));
}

Sample sample_of(const Chain& chain, const Image& image) {
  Sample sample;
  sample.name = "made up";
  if (chain.encoded) {
    sample.encoded = encode_jpeg(image);
  } else {
    sample.image = image;
  }
  return sample;
}

RandAugment randaugment(const Chain& chain) {
  RandAugment settings;  // configs/cifar_nest.yaml, imagenet_nest_tiny.yaml
  settings.cutout = false;
  settings.magnitude = 9;
  settings.magstd = 0.5;
  settings.prob_to_apply = 0.5;
  settings.size = chain.side;
  return settings;
}

void measure_steps(const Chain& chain, const std::vector<Sample>& samples,
                   const Preprocessing& preprocessing) {
  if (chain.encoded)
    measure("decode, whole picture", [&](size_t which, uint64_t) {
      return decode_image(samples[which].encoded, decode_options(preprocessing), "").pixels;
    });
  const auto basic = [&](size_t which, uint64_t draw) {
    Rng rng(kSeed, Purpose::kTransform, 0, draw);
    return training_pixels(samples[which], preprocessing, chain.transform, rng);
  };
  measure(chain.encoded ? "decode window, resize, flip" : "pad, crop, flip",
          [&](size_t which, uint64_t draw) { return basic(which, draw).values; });
  const std::vector<Pixels> pixels = {basic(0, 0), basic(1, 0)};
  require(pixels[0].height == chain.side && pixels[0].width == chain.side, "the basic step");
  measure("to 8 bits", [&](size_t which, uint64_t) { return to_bytes(pixels[which]).pixels; });
  const std::vector<Image> images = {to_bytes(pixels[0]), to_bytes(pixels[1])};
  for (TfOp op : tf_ops())
    measure("RandAugment " + tf_op_name(op), [&](size_t which, uint64_t draw) {
      return apply_tf_op(images[which], op, takes_level(op) ? kLevel : 0, draw % 2 == 0,
                         tf_op_settings(chain.side))
          .pixels;
    });
  measure("RandAugment, as drawn", [&](size_t which, uint64_t draw) {
    Rng rng(kSeed, Purpose::kRandAugment, 0, draw);
    return rand_augment(images[which], randaugment(chain), rng).pixels;
  });
  measure("colour jitter, as drawn", [&](size_t which, uint64_t draw) {
    Rng rng(kSeed, Purpose::kJitter, 0, draw);
    return color_jitter(images[which], ColorJitter{}, rng).pixels;
  });
  std::vector<float> chw(pixels[0].values.size());
  measure("normalise", [&](size_t which, uint64_t) {
    normalise(pixels[which], preprocessing, chw);
    return chw[chw.size() / 2 + chain.side / 2];  // the middle: a border may be padding
  });
  const std::vector<float> clean = chw;
  measure("erase, as drawn", [&](size_t which, uint64_t draw) {
    Rng rng(kSeed, Purpose::kErase, which, draw);
    std::copy(clean.begin(), clean.end(), chw.begin());
    random_erase(chw, chain.side, chain.side, RandomErasing{1.0}, rng);
    return chw;
  });
}

void measure_mix(const Chain& chain) {
  Batch batch;
  batch.size = chain.batch;
  batch.height = batch.width = chain.side;
  Rng noise(kSeed, Purpose::kTest);
  batch.images.resize(static_cast<size_t>(chain.batch) * 3 * chain.side * chain.side);
  for (float& value : batch.images) value = noise.normal();
  for (int i = 0; i < chain.batch; ++i) batch.labels.push_back(i % 10);
  for (const bool cutmix : {false, true}) {
    MixSettings settings;
    (cutmix ? settings.mixup_alpha : settings.cutmix_alpha) = 0;
    const std::vector<float> before = batch.images;
    const double cost = microseconds([&](uint64_t draw) {
      Rng rng(kSeed, Purpose::kMix, draw);
      mix(batch, 10, settings, rng);
    });
    require(batch.images != before, "mix");
    print(cutmix ? "cutmix" : "mixup", cost / chain.batch);
    batch.images = before;
  }
}

void measure_chain(const Chain& chain) {
  fmt::print("{}\n", chain.name);
  Preprocessing preprocessing = preprocessing_mode("jax", chain.side);
  const std::vector<Sample> samples = {sample_of(chain, picture(chain.height, chain.width, 0)),
                                       sample_of(chain, picture(chain.height, chain.width, 1))};
  measure_steps(chain, samples, preprocessing);
  measure_mix(chain);
  AugmentSettings settings;
  settings.randaugment = randaugment(chain);
  settings.erasing = RandomErasing{};
  if (chain.jitter) settings.jitter = ColorJitter{};
  const Augmentation augmentation(settings, kSeed);
  std::vector<float> chw(static_cast<size_t>(3) * chain.side * chain.side);
  measure("the whole chain of an image", [&](size_t which, uint64_t draw) {
    Rng rng(kSeed, Purpose::kTransform, 0, draw);
    const Pixels pixels = augmentation.pixels(
        training_pixels(samples[which], preprocessing, chain.transform, rng), 0, draw);
    normalise(pixels, preprocessing, chw);
    augmentation.finish(chw, chain.side, chain.side, 0, draw);
    return chw[chw.size() / 2 + chain.side / 2];  // the middle: a border may be padding
  });
}

}  // namespace

int main() {
  try {
    fmt::print("microseconds per image, one core\n");
    measure_chain({"CIFAR, 32 x 32", 32, 32, 32, TrainTransform::kPad, false, false, 32});
    measure_chain({"ImageNet, 375 x 500 JPEG to 224 x 224", 224, 375, 500, TrainTransform::kCrop,
                   true, true, 8});
    return 0;
  } catch (const Error& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
