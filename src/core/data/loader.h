// The loader: worker threads decode and transform samples into batches, through a bounded queue, in
// an order that does not depend on the number of workers.
//
//   const auto transform = [&](const Sample& sample, int64_t) {
//     return evaluation_pixels(sample, preprocessing);
//   };
//   Loader loader(*dataset, in_order(dataset->size()), transform, preprocessing,
//                 {.batch_size = 32, .workers = 4});
//   while (std::optional<Batch> batch = loader.next()) {
//     use(batch->images, batch->labels);  // [B, C, S, S], [B]
//     loader.recycle(std::move(*batch));
//   }
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "image/image.h"
#include "model/preprocessing.h"

namespace nestvit {

enum class OnBadImage { kError, kSkip };

// Changes an image after normalisation: its [C, S, S] in place. Called from worker threads, with
// the image's index.
using Finish = std::function<void(std::span<float> chw, int64_t index)>;

struct LoaderOptions {
  int batch_size = 32;
  int workers = 2;
  int prefetch = 4;  // batches ready or in work beyond the one handed out
  OnBadImage on_bad_image = OnBadImage::kError;
  Finish finish = {};  // may be empty
};

// (sample, its index) -> pixels; called from worker threads. Random draws are keyed by the index.
using Transform = std::function<Pixels(const Sample&, int64_t index)>;

class Loader {
 public:
  // `order`: the indices to serve, in this order; the last batch may be short. `preprocessing` says
  // size and normalisation.
  Loader(const Dataset& dataset, std::vector<int64_t> order, Transform transform,
         const Preprocessing& preprocessing, const LoaderOptions& options);
  ~Loader();
  // The next batch, or nothing at the end. Throws the first Error of a worker (unless bad images
  // are skipped; a skipped image shortens its batch). The batch is reused by the next call when
  // moved back with recycle().
  std::optional<Batch> next();
  void recycle(Batch batch);
  double wait_seconds() const;  // time next() spent waiting, in all
  // Images left out so far, without the first `from`: name, reason.
  std::vector<std::pair<std::string, std::string>> skipped(size_t from = 0) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The classes of `dataset` that have images, all of them among `skipped` (as Loader::skipped()).
std::vector<int> classes_left_out(const Dataset& dataset,
                                  const std::vector<std::pair<std::string, std::string>>& skipped);

// 0..size-1 shuffled: a pure function of (seed, epoch).
std::vector<int64_t> shuffled(int64_t size, uint64_t seed, uint64_t epoch);
std::vector<int64_t> in_order(int64_t size);

}  // namespace nestvit
