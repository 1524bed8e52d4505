// nestvit data check: what is broken, doubled or odd in a dataset, before a long run.
#pragma once

#include <string>

#include "cli/program/options.h"

namespace nestvit::cli {

struct DataCheckOptions {
  std::string dir;   // "DIR"; the same as data.data_dir
  DataOptions data;  // without split request and limit
  double val_share = DatasetOptions{}.val_share;
  int64_t seed = static_cast<int64_t>(DatasetOptions{}.seed);
  int threads = 0, min_side = 16;
  std::string json, csv;
};

// DIR and every option of the action.
void add_data_check_options(CLI::App& app, DataCheckOptions* options);

// For the verb's --help.
extern const char* const kDataCheckDetails;
extern const char* const kDataCheckExamples;

// 0; 1 when images were found that would end a training run. Throws Error when there is no dataset.
int data_check(const DataCheckOptions& options);

}  // namespace nestvit::cli
