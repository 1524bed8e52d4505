// state.json, whole and damaged.
#include "run/record/state.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <limits>

#include "support/run_state.h"

namespace nestvit {
namespace {

TEST(RunState, SurvivesTheFile) {
  EXPECT_EQ(parse_state(state_json(run_state(3, 2)), "x"), run_state(3, 2));
  EXPECT_EQ(parse_state(state_json(run_state(3, -1)), "x").best_step, -1);
  RunState diverged = run_state(3, 2);
  diverged.history[0].eval_loss = std::numeric_limits<double>::quiet_NaN();
  diverged.history[1].eval_loss = std::numeric_limits<double>::infinity();
  const RunState back = parse_state(state_json(diverged), "x");
  EXPECT_TRUE(std::isnan(back.history[0].eval_loss.value()));
  EXPECT_EQ(back.history[1].eval_loss, diverged.history[1].eval_loss);
}

TEST(RunState, TruncatedIsAnError) {
  const std::string text = state_json(run_state(3, 2));
  // The last two are the brace and the line end.
  for (size_t length = 0; length + 2 < text.size(); ++length)
    EXPECT_THROW(parse_state(text.substr(0, length), "state.json"), Error) << length;
}

TEST(RunState, HostileIsAnError) {
  const std::string good = state_json(run_state(3, 2));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  for (const std::string& text :
       {std::string("[]"), std::string("null"), with("\"step\": 3", "\"step\": -1"),
        with("\"step\": 3", "\"step\": \"three\""), with("\"batch_size\": 4", "\"batch_size\": 0"),
        with("\"step\": 3", "\"step\": 1e300"),
        with("\"step\": 3", "\"step\": 9000000000000000000"),
        with("\"eval_loss\": 0.6", "\"eval_loss\": \"0.6 or so\""), with("\"history\"", "\"hist\""),
        with("\"skipped\": [", "\"skipped\": [3,"), std::string(100000, '['),
        std::string("{\"step\": 1}")})
    EXPECT_THROW(parse_state(text, "state.json"), Error) << text.substr(0, 40);
}

}  // namespace
}  // namespace nestvit
