// One pass of a model over images: decode in worker threads, forward in batches.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cli/model/bad_images.h"
#include "cli/program/verb.h"
#include "data/dataset.h"
#include "data/loader.h"

namespace nestvit::cli {

struct Pass {
  const Dataset& dataset;
  std::vector<int64_t> order;  // the indices to go through
  const LoadedModel& model;
  const Forward& forward;
  LoaderOptions loader;
  std::string progress;                       // the name of the progress bar; "": none
  size_t named_bad_images = kNamedBadImages;  // how many that are left out are named, not counted
};

struct PassResult {
  int64_t images = 0;
  double seconds = 0;                  // decoding included
  int64_t skipped = 0;                 // images that could not be read
  std::vector<int> lost_classes = {};  // of which every image was skipped
};

// on_batch(batch, logits [B, K]) in the order given. Skipped images are reported as warnings as
// they come; throws Error when none is left.
PassResult classify(const Pass& pass,
                    const std::function<void(const Batch&, std::span<const float>)>& on_batch);

}  // namespace nestvit::cli
