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
        csv_line({labels[i], fmt::format("{}", scores[i].support),
                  fmt::format("{:.6f}", scores[i].precision),
                  fmt::format("{:.6f}", scores[i].recall), fmt::format("{:.6f}", scores[i].f1)});
  return text;
}

std::string confusion_matrix_csv(const Confusion& confusion,
                                 const std::vector<std::string>& labels) {
  std::vector<std::string> line = {"true \\ predicted"};
  line.insert(line.end(), labels.begin(), labels.end());
  std::string text = csv_line(line);
  for (int i = 0; i < confusion.classes(); ++i) {
    line = {labels[i]};
    for (int j = 0; j < confusion.classes(); ++j)
      line.push_back(fmt::format("{}", confusion.count(i, j)));
    text += csv_line(line);
  }
  return text;
}

std::string confused_pairs_csv(const Confusion& confusion, const std::vector<std::string>& labels) {
  std::string text = csv_line({"true", "predicted", "images"});
  for (const ConfusedPair& pair : confusion.pairs())
    text += csv_line({labels[pair.label], labels[pair.predicted], fmt::format("{}", pair.count)});
  return text;
}

Value most_confused(const Confusion& confusion, const std::vector<std::string>& labels) {
  Value::List list;
  for (const ConfusedPair& pair : confusion.mistakes(10))
    list.push_back(Value::Members{{"label", labels[pair.label]},
                                  {"predicted", labels[pair.predicted]},
                                  {"count", pair.count}});
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
                                {"most_confused", most_confused(metrics.confusion(), labels)}}) +
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
  const std::vector<ClassScores> scores = metrics.per_class();
  write_file(directory / "per_class.csv", per_class_csv(scores, names));
  const Confusion& confusion = metrics.confusion();
  write_file(directory / "confusion.csv", confusion.classes() <= kMaxMatrixClasses
                                              ? confusion_matrix_csv(confusion, names)
                                              : confused_pairs_csv(confusion, names));
  write_file(directory / "summary.json", summary_json(metrics, scores, names));
  write_confusion_picture(directory / "confusion.png", confusion, names);
}

}  // namespace nestvit
