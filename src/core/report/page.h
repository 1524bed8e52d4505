// The page of a run: one HTML file that explains itself, without network or script.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "metrics/confusion.h"
#include "report/picture.h"

namespace nestvit {

// One line of the run's history: whatever is known at that point. Lines of the training log and of
// evaluations may be mixed; the table of the page shows those that have a validation value.
struct RunPoint {
  double epoch = 0;
  int64_t step = 0;
  std::optional<double> train_loss, val_loss;
  std::optional<double> val_top1, val_top5;  // percent
  std::optional<double> learning_rate, images_per_second;
  std::optional<double> data_wait;  // percent of the time that training waited for data
};

struct Mistake {
  AnsweredImage image;
  double loss = 0;
};

struct RunPage {
  std::string title;   // "cats and dogs"
  std::string status;  // "finished", "epoch 12 of 60, running"
  // Facts about the run: data, model, recipe, seed, machine, ... in the order shown.
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<RunPoint> history;                             // ascending epochs
  std::vector<AnsweredImage> samples;                        // the first kMaxPageImages are shown
  std::vector<Mistake> mistakes;                             // highest loss first; likewise
  std::vector<std::string> labels;                           // [K], of `confusion`
  Confusion confusion;                                       // without pairs: not shown
  std::vector<std::pair<std::string, std::string>> skipped;  // image, reason
};

inline constexpr size_t kMaxPageImages = 24;
inline constexpr int kMaxPageImageSide = 160;
inline constexpr size_t kMaxPageClasses = 100;  // above: the most frequent confusions alone

// The parts of a page, for other pages. Titles and notes are text, contents HTML; a section without
// content is empty.
std::string html_page(const std::string& title, const std::string& body);
std::string html_section(const std::string& title, const std::string& content,
                         const std::string& note = "");
// A table of two columns; empty without a pair.
std::string html_facts(const std::vector<std::pair<std::string, std::string>>& facts);

std::string run_page_html(const RunPage& page);
void write_run_page(const std::filesystem::path& path, const RunPage& page);

}  // namespace nestvit
