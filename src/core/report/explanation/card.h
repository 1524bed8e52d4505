// Explanations as pictures: the photo with its nested boxes beside the tree, or under a heat map.
// Drawn by cairo; PNG or JPEG by the name.
#pragma once

#include <filesystem>
#include <vector>

#include "explain/explanation.h"
#include "image/image.h"

namespace nestvit {

// One image and its explanations, side by side on one scale: of several classes, or of a class and
// its rival. At least one.
struct ExplainedImage {
  Image image;  // as decoded by the model's rule, at its own size
  std::vector<ExplanationRecord> explanations;
};

struct CardOptions {
  bool smooth = false;  // heat maps bilinear instead of in cells
};

// With a tree: the photo, what the model has not seen dimmed, the path's boxes nested on it; beside
// it the rows of the tree, of rows beyond 16 nodes only the children of the path's node. Without
// one: the heat map over the grey photo. Below it the answers. Throws Error where the picture is
// too large or cannot be written.
void write_explanation_card(const std::filesystem::path& path, const ExplainedImage& explained,
                            const CardOptions& options = {});

// A grid of small cards: the photo with the path's boxes, or its heat map, and the answer below it.
void write_explanation_sheet(const std::filesystem::path& path,
                             const std::vector<ExplainedImage>& images, int columns = 4,
                             const CardOptions& options = {});

}  // namespace nestvit
