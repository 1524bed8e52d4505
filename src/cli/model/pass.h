// One pass of a model over images: decode in worker threads, forward in batches.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

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
  std::string progress;  // the name of the progress bar; "": none
};

struct PassResult {
  int64_t images = 0;
  double seconds = 0;  // decoding included
};

// on_batch(batch, logits [B, K]) in the order given. Skipped images are reported as warnings at the
// end; throws Error when none is left.
PassResult classify(const Pass& pass,
                    const std::function<void(const Batch&, std::span<const float>)>& on_batch);

}  // namespace nestvit::cli
