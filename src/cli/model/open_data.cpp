// Joins the data with what the model records.
#include "cli/model/open_data.h"

#include "weights/labels/labels.h"

namespace nestvit::cli {

EvaluationData open_data(const DataOptions& options, const ModelContent& model) {
  EvaluationData data = open_evaluation_data(
      options.dataset_options(), options.request, model.trained_on,
      [&](const Dataset& images) { return names_in_model(images.classes(), model); });
  say_not_read({data.images.get()});
  return data;
}

}  // namespace nestvit::cli
