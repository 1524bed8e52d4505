// ImageNet as people have it: validation images in one folder with a file of labels beside them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nestvit {

// The content of a labels file. Its forms:
//   FILE LABEL   "ILSVRC2012_val_00000001.JPEG 65" (Caffe's val.txt; blank, tab, comma or semicolon
//                between them). Label: synset, class name, or index from 0.
//   Kaggle's     "ImageId,PredictionString", then "ILSVRC2012_val_00048981,n03995372 85 1 499 272"
//   SYNSET       a line per image, in their order: imagenet_2012_validation_synset_labels.txt
//   NUMBER       a line per image, in their order: ILSVRC ids, which start at 1 and are not class
//                indices (ILSVRC2012_validation_ground_truth.txt of the development kit)
struct ImageLabels {
  std::vector<std::string> files;   // without folder and extension; empty: labels are by line
  std::vector<std::string> labels;  // per line
  bool numbers = false;             // every label is a number
};
// Throws Error naming the line: two forms mixed, a file twice, nothing in it.
ImageLabels parse_image_labels(const std::string& text, const std::string& origin);

// The synset of id 1, 2, ..., from lines "n02119789 1 kit_fox" (map_clsloc.txt of the development
// kit) or "1 n02119789". Throws Error.
std::vector<std::string> parse_synset_ids(const std::string& text, const std::string& origin);

// Whether `options.root` has flat validation images, with labels given, or found beside them, or
// with class folders in train/ (then only the labels are missing); or Kaggle's ILSVRC/Data/CLS-LOC.
bool looks_like_imagenet(const DatasetOptions& options);

// Whatever is there: TFDS's imagenet2012, flat validation images, or class folders. Throws Error.
std::unique_ptr<Dataset> open_imagenet(const DatasetOptions& options);

}  // namespace nestvit
