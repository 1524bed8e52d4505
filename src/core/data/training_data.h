// Recognises the data that a model was trained on, by the record that its directory holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "model/training_record.h"

namespace nestvit {

// `class_names`: the model's name for each label of the data. `options`: how both were opened.
// Looks at the list of images, and reads a few of them.
TrainingRecord record_of(const Dataset& train, const Dataset& held_out,
                         const std::vector<std::string>& class_names,
                         const DatasetOptions& options);

// What a record says of some images.
struct Recognised {
  bool all = false;  // the list of these images is that of the training and held-out ones together
  // Of the record's examples: those whose name and class are in the list; those that also have the
  // content that was trained on.
  int listed = 0, same = 0;
};
Recognised recognise(const Dataset& images, const std::vector<std::string>& class_names,
                     const TrainingRecord& record);

// For a run that goes on. The data's place may have changed, its training images not: throws Error
// where they are others than those of `before`, and warns of other contents and of other images to
// evaluate on. `origin` holds `before`.
void require_same_data(const TrainingRecord& before, const TrainingRecord& now,
                       const std::string& origin);

}  // namespace nestvit
