// When a run has seen enough evaluations without progress.
#include "run/record/early_stop.h"

#include <gtest/gtest.h>

namespace nestvit {
namespace {

TEST(EarlyStop, CountsEvaluationsSinceTheBest) {
  const auto history = [](const std::vector<double>& values) {
    std::vector<SummaryRow> rows;
    for (const double v : values) {
      rows.emplace_back();
      if (v >= 0) rows.back().eval_top1 = v;  // else a row without an evaluation
    }
    return rows;
  };
  EXPECT_FALSE(out_of_patience({}, 1, 0));
  EXPECT_FALSE(out_of_patience(history({0}), 1, 0));
  EXPECT_TRUE(out_of_patience(history({50, -1, 50}), 1, 0)) << "equal is not better";
  EXPECT_FALSE(out_of_patience(history({50, 40, 51}), 1, 0));
  EXPECT_FALSE(out_of_patience(history({50, 40, 45}), 3, 0));
  EXPECT_TRUE(out_of_patience(history({50, 40, 45, 49}), 3, 0));
  EXPECT_FALSE(out_of_patience(history({50, 40, 45, 49}), 0, 0));
  EXPECT_TRUE(out_of_patience(history({50, 50.4, 50.9}), 2, 1));
  EXPECT_FALSE(out_of_patience(history({50, 50.6, 51.2}), 2, 1)) << "against the last best";
}

}  // namespace
}  // namespace nestvit
