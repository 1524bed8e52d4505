// nestvit data preview: what the network sees in training, as a picture and as tensors.
#pragma once

#include <string>

#include "cli/verbs/train/train_flags.h"

namespace nestvit::cli {

struct DataPreviewOptions {
  TrainArguments run;  // the data and the recipe
  std::string output, save_batch;
  int images = 16, columns = 4, step = 1, steps = 1, workers = 0;
};

// DIR and every option of the action.
void add_data_preview_options(CLI::App& app, DataPreviewOptions* options);

// For the verb's --help.
extern const char* const kDataPreviewDetails;
extern const char* const kDataPreviewExamples;

// Keys of the recipe are the overrides of `invocation`.
int data_preview(const DataPreviewOptions& options, const Invocation& invocation);

}  // namespace nestvit::cli
