// Pictures that people look at: a sheet of images with their answers, a sheet of training images,
// and the confusion matrix. Drawn by cairo; PNG or JPEG by the name (image/codecs/picture_file.h).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "image/image.h"
#include "metrics/confusion.h"

namespace nestvit {

struct Answer {
  std::string label;
  double probability = 0;
};

struct AnsweredImage {
  Image image;
  std::string title;  // file name
  // The true class, "" when unknown: the first answer is green when right, red when wrong.
  std::string truth;
  std::vector<Answer> answers;  // best first
};

inline constexpr size_t kMaxCardAnswers = 20;

// A grid of cards: the image enlarged, below it the best answers as bars with probabilities.
void write_answer_sheet(const std::filesystem::path& path, const std::vector<AnsweredImage>& images,
                        int columns = 4);

// An image, and the same as training sees it.
struct TrainingView {
  Image original;
  Image seen;         // by the network, denormalised
  std::string title;  // file name
  std::string label;  // "0.7 cat + 0.3 dog"
};

// A grid of cards: both images side by side, below them the label. `heading`: a line above all.
void write_training_sheet(const std::filesystem::path& path, const std::string& heading,
                          const std::vector<TrainingView>& views, int columns = 4);

inline constexpr int kMaxMatrixClasses = 1000;  // beyond: the most confused kPicturedClasses
inline constexpr int kPicturedClasses = 100;

// Rows are true classes; each row's shares as shades; counts printed up to 30 classes.
void write_confusion_picture(const std::filesystem::path& path, const Confusion& confusion,
                             const std::vector<std::string>& labels);

}  // namespace nestvit
