// What a model was trained on, as its directory records it: enough to recognise the data, and to
// hold out the same part of it again. Data only; src/core/data makes it and compares it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/fields.h"

namespace nestvit {

struct TrainingRecord {
  int64_t train_images = 0, held_out_images = 0;
  // Of the list of images and their class names, in any order.
  std::string train_digest, held_out_digest;
  // How the images were divided; unset: the data came in parts.
  std::optional<double> val_share;
  int64_t seed = 0;
  // Of the content of some training images.
  std::string content_digest;
  // A few of those, as hashes NAME-CONTENT between blanks.
  std::string examples;

  bool operator==(const TrainingRecord&) const = default;
};

Fields fields(TrainingRecord& record);

}  // namespace nestvit
