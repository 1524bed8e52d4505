// nestvit explain --score and --localise: what explanations are worth over a data set.
#pragma once

#include <string>

#include "cli/program/options.h"
#include "weights/model_dir.h"

namespace nestvit::cli {

struct ExplainModes {
  bool score = false, localise = false;
  std::string report;  // a folder; "": the tables alone, to standard output
  std::string boxes;   // wsolevaluation's localization.txt
  int steps = 28;
  std::string mosaic;  // "2" or "4" cells a side; "": none
  bool sanity = false, all_images = false, variants = false;
  std::string protocol;        // "cvpr16" or "maxboxacc"; "": both
  std::string threshold_from;  // a part of the data, or another folder; "": none

  bool any() const { return score || localise; }
};

void add_explain_mode_options(CLI::App& app, ExplainModes* modes);

// Throws UsageError for options without their mode, both modes at once, and a mode without a data
// set; needs no model.
void check(const ExplainModes& modes, const DataOptions& data);

struct ModeInput {
  const LoadedModel& model;  // a NesT, its tensors as f32
  const DataOptions& data;
  int threads = 0, batch_size = 8;
};

// Each prints its tables, writes the report, and returns the exit code. Throws Error: no image that
// can be scored, a file of boxes that cannot be read or that names no image of the data.
int run_explain_score(const ExplainModes& modes, const ModeInput& input);
int run_explain_localise(const ExplainModes& modes, const ModeInput& input);

}  // namespace nestvit::cli
