// Explanations as rows of a table, as CSV or as a list in JSON.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "cli/program/answers.h"
#include "explain/explanation.h"
#include "weights/model_dir.h"

namespace nestvit::cli {

// "top left -> bottom right, 56 x 56 at 112, 56; margins 0.31, 0.12": the box is that of the last
// block, on the original image.
std::string path_in_words(const Tree& tree);

// "4 x 4 at 120, 88; 6.90 of 9.12 (+8.00 -1.10)": the strongest cell, on the original image; what
// the map explains of the target, and its parts.
std::string map_in_words(const ExplanationRecord& explanation, const Preprocessing& preprocessing);

// What comes before the first row comes with it: without any answer there is no output.
class ExplanationPrinter {
 public:
  struct Form {
    std::string format;  // "table", "json", "csv"
    bool maps = false;   // JSON with the values of the heat maps
    size_t name_width = 0;
    std::optional<int> against = {};  // the rival of every class, in words behind it
  };
  ExplanationPrinter(Form form, const ModelContent& model);

  // The explanations of one image.
  void add(std::span<const ExplanationRecord> explanations);
  void flush(Sink& sink);
  void finish(Sink& sink);

 private:
  void begin();
  void add_row(const ExplanationRecord& explanation, bool first);

  const Form form_;
  const ModelContent& model_;
  size_t name_width_ = 0, label_width_ = 0;
  std::string text_;
  bool begun_ = false, first_ = true;
};

}  // namespace nestvit::cli
