// Scores of several methods over the same things (images, mosaics), and curves of their means, as
// plain data: what is estimated (metrics/bootstrap.h) and reported (report/score).
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace nestvit {

struct Measure {
  std::string key;   // the column of a CSV: "deletion_mean_probability"
  std::string name;  // for people
  bool higher_is_better = true;
  std::optional<double> chance;  // of a method that knows nothing, where that is known
};

struct ScoreTable {
  std::string key;     // the name of its CSV file: "scores"
  std::string title;   // for people
  std::string note;    // what has to be known to read it; may be empty
  std::string things;  // "images"
  std::vector<Measure> measures;
  std::vector<std::string> methods;
  std::vector<std::string> names;  // of the things
  // [measure][method][thing]; NaN where undefined.
  std::vector<std::vector<std::vector<double>>> values;

  // values [method][measure] of one thing.
  void add(const std::string& name, const std::vector<std::vector<double>>& scores) {
    values.resize(measures.size(), std::vector<std::vector<double>>(methods.size()));
    names.push_back(name);
    for (size_t m = 0; m < methods.size(); ++m)
      for (size_t k = 0; k < measures.size(); ++k) values[k][m].push_back(scores.at(m).at(k));
  }
};

// The means over all things of a method's curve.
struct ScoreCurve {
  std::string method;
  std::vector<double> share, probability, logit;  // share: of what is replaced or restored
};
struct ScoreCurves {
  std::string key, title;  // "deletion_mean", "Deletion to the mean colour"
  std::vector<ScoreCurve> methods;
};

}  // namespace nestvit
