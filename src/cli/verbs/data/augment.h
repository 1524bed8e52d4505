// nestvit data augment: one of the training augmentations on one picture, to look at.
#pragma once

#include <string>

#include "cli/program/options.h"

namespace nestvit::cli {

struct DataAugmentOptions {
  std::string op, sign = "+", input, output;
  double level = 0.9;
};

// IN, OUT and every option of the action.
void add_data_augment_options(CLI::App& app, DataAugmentOptions* options);

// For the verb's --help.
extern const char* const kDataAugmentDetails;
extern const char* const kDataAugmentExamples;

int data_augment(const DataAugmentOptions& options);

}  // namespace nestvit::cli
