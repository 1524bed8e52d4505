// Tables and pictures from the counts of an evaluation.
#include "report/eval_report.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

#include "base/file.h"
#include "report/picture.h"
#include "report/results.h"

namespace nestvit {
namespace {

std::string label_of(const std::vector<std::string>& labels, int i) {
  return i < static_cast<int>(labels.size()) ? labels[i] : fmt::format("class {}", i);
}

std::string per_class_csv(const std::vector<ClassScores>& scores,
                          const std::vector<std::string>& labels) {
  std::string text = csv_line({"label", "support", "precision", "recall", "f1"});
  for (int i = 0; i < static_cast<int>(scores.size()); ++i)
    text +=
        csv_line({label_of(labels, i), fmt::format("{}", scores[i].support),
                  fmt::format("{:.6f}", scores[i].precision),
                  fmt::format("{:.6f}", scores[i].recall), fmt::format("{:.6f}", scores[i].f1)});
  return text;
}

std::string confusion_csv(const Metrics& metrics, const std::vector<std::string>& labels) {
  std::vector<std::string> line = {"true \\ predicted"};
  for (int i = 0; i < metrics.classes(); ++i) line.push_back(label_of(labels, i));
  std::string text = csv_line(line);
  for (int i = 0; i < metrics.classes(); ++i) {
    line = {label_of(labels, i)};
    for (int j = 0; j < metrics.classes(); ++j)
      line.push_back(fmt::format("{}", metrics.confusion(i, j)));
    text += csv_line(line);
  }
  return text;
}

// The pairs (true, predicted) that were confused most often.
Value most_confused(const Metrics& metrics, const std::vector<std::string>& labels) {
  struct Pair {
    int64_t count;
    int label, predicted;
  };
  std::vector<Pair> pairs;
  for (int i = 0; i < metrics.classes(); ++i)
    for (int j = 0; j < metrics.classes(); ++j)
      if (i != j && metrics.confusion(i, j) > 0) pairs.push_back({metrics.confusion(i, j), i, j});
  const size_t kept = std::min<size_t>(pairs.size(), 10);
  std::partial_sort(pairs.begin(), pairs.begin() + static_cast<std::ptrdiff_t>(kept), pairs.end(),
                    [](const Pair& a, const Pair& b) {
                      if (a.count != b.count) return a.count > b.count;
                      return std::pair(a.label, a.predicted) < std::pair(b.label, b.predicted);
                    });
  Value::List list;
  for (size_t i = 0; i < kept; ++i)
    list.push_back(Value::Members{{"label", label_of(labels, pairs[i].label)},
                                  {"predicted", label_of(labels, pairs[i].predicted)},
                                  {"count", pairs[i].count}});
  return list;
}

std::string summary_json(const Metrics& metrics, const std::vector<ClassScores>& scores,
                         const std::vector<std::string>& labels) {
  ClassScores mean;
  int present = 0;
  for (const ClassScores& score : scores) {
    if (score.support == 0) continue;
    ++present;
    mean.precision += score.precision;
    mean.recall += score.recall;
    mean.f1 += score.f1;
  }
  const double classes = std::max(present, 1);
  return to_json(Value::Members{{"images", metrics.count()},
                                {"classes", metrics.classes()},
                                {"classes_with_images", present},
                                {"top1", metrics.top1()},
                                {"top5", metrics.top5()},
                                {"loss", metrics.loss()},
                                {"macro_precision", mean.precision / classes},
                                {"macro_recall", mean.recall / classes},
                                {"macro_f1", mean.f1 / classes},
                                {"most_confused", most_confused(metrics, labels)}}) +
         "\n";
}

}  // namespace

void write_report(const std::filesystem::path& directory, const Metrics& metrics,
                  const std::vector<std::string>& labels) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    throw Error(fmt::format("{}: cannot make the folder: {}", directory.string(), error.message()));
  std::vector<std::string> names;
  for (int i = 0; i < metrics.classes(); ++i) names.push_back(label_of(labels, i));
  std::vector<int64_t> counts;
  for (int i = 0; i < metrics.classes(); ++i)
    for (int j = 0; j < metrics.classes(); ++j) counts.push_back(metrics.confusion(i, j));

  const std::vector<ClassScores> scores = metrics.per_class();
  write_file(directory / "per_class.csv", per_class_csv(scores, names));
  write_file(directory / "confusion.csv", confusion_csv(metrics, names));
  write_file(directory / "summary.json", summary_json(metrics, scores, names));
  write_confusion_picture(directory / "confusion.png", counts, names);
}

}  // namespace nestvit
