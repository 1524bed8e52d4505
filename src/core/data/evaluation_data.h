// The images that a model is evaluated on: the part that the data or the user names; of data
// without parts the images that the training of the model held out, or else all.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "model/training_record.h"

namespace nestvit {

// What the user asked for; each may be left open.
struct SplitRequest {
  std::string split = {};  // "": the validation images
  std::optional<double> val_share = {};
  std::optional<int64_t> seed = {};
};

struct EvaluationData {
  std::unique_ptr<Dataset> images;
  std::string part;  // for people: "val", "held out", "all", ...
};

// The names that the model has for the classes of a dataset.
using ClassNames = std::function<std::vector<std::string>(const Dataset&)>;

// `options` without split, share and seed. `record`: of the model, if it has one. Says in the log
// which images of data without parts it takes, and warns where the model was trained on some of
// them or nothing tells. Throws as open_dataset().
EvaluationData open_evaluation_data(const DatasetOptions& options, const SplitRequest& request,
                                    const std::optional<TrainingRecord>& record,
                                    const ClassNames& names);

}  // namespace nestvit
