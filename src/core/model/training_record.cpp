// The field list, by which config.json holds the record.
#include "model/training_record.h"

namespace nestvit {

Fields fields(TrainingRecord& r) {
  Fields f;
  f.add("train_images", &r.train_images, "images that were trained on");
  f.add("train_digest", &r.train_digest, "of their list");
  f.add("held_out_images", &r.held_out_images, "images that were held out for evaluation");
  f.add("held_out_digest", &r.held_out_digest, "of their list");
  f.add("val_share", &r.val_share,
        "share of each class that was held out; null: the data came in parts");
  f.add("seed", &r.seed, "of the division");
  f.add("content_digest", &r.content_digest, "of the content of some training images");
  f.add("examples", &r.examples, "a few of those, as hashes of name and content");
  return f;
}

}  // namespace nestvit
