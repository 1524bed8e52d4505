// The files of `nestvit eval --report`.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "metrics/metrics.h"

namespace nestvit {

// per_class.csv, confusion.csv, confusion.png and summary.json in `directory`, which is made if
// missing. Beyond kMaxMatrixClasses (picture.h) confusion.csv lists the pairs that occurred, and
// confusion.png shows the most confused classes.
void write_report(const std::filesystem::path& directory, const Metrics& metrics,
                  const std::vector<std::string>& labels);

}  // namespace nestvit
