// The images of --data-dir that a model is evaluated on.
#pragma once

#include "cli/program/options.h"
#include "data/evaluation_data.h"
#include "weights/model_dir.h"

namespace nestvit::cli {

// Which images of data without parts are taken follows from what the model was trained on:
// data/evaluation_data.h.
EvaluationData open_data(const DataOptions& options, const ModelContent& model);

}  // namespace nestvit::cli
