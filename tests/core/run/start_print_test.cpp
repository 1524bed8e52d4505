// The lines that a run prints at its start.
#include "run/start_print.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "run/recipe/default_recipe.h"
#include "support/brightness.h"
#include "support/recipes.h"

namespace nestvit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string printed(const std::function<void()>& print) {
  ::testing::internal::CaptureStderr();
  print();
  return ::testing::internal::GetCapturedStderr();
}

RunSetup setup_of(const Settings::Values& values) {
  RunSetup setup;
  setup.base = "a test";
  setup.train = std::make_unique<Brightness>(40);
  setup.val = std::make_unique<Brightness>(10);
  setup.facts = data_facts(*setup.train, *setup.val);
  setup.recipe = apply(default_recipe(setup.facts, 32), {"", values});
  resolve(setup.recipe, setup.facts);
  return setup;
}

TEST(StartPrint, SetupSaysWhatIsInForce) {
  const RunSetup setup = setup_of({{"augment.type", "randaugment"},
                                   {"randerasing.erase_prob", "0.25"},
                                   {"mix.mixup_alpha", "0.8"},
                                   {"nest.stochastic_depth_drop", "0.3"}});
  const std::string text = printed([&] { print_setup(setup); });
  for (const char* line :
       {"recipe         a test\n", "data           idx: 40 images to train on, 10 to evaluate\n",
        "classes        2: dark, bright\n",
        "model          nest_tiny_s196_224, input 3 x 32 x 32: ",
        "transforms     none; label smoothing 0.1; drop-path 0.3\n", "augmentation   RandAugment",
        "augmentation   random erasing with probability 0.25", "mix            ",
        "normalisation  mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225]\n"})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_THAT(text, Not(HasSubstr("weights  ")));
}

TEST(StartPrint, EvaluationOnlySaysNothingOfTraining) {
  RunSetup setup = setup_of({{"preprocessing.mean", "[0]"}, {"preprocessing.std", "[1]"}});
  setup.train.reset();
  const std::string text = printed([&] { print_setup(setup); });
  EXPECT_THAT(text, HasSubstr("no images to train on, 10 to evaluate"));
  EXPECT_THAT(text, HasSubstr("normalisation  none"));
  EXPECT_THAT(text, Not(HasSubstr("transforms")));
}

class LoopStartTest : public ::testing::Test {
 protected:
  std::string text(const Settings::Values& values, std::optional<int64_t> resumed_after = {}) {
    const Recipe recipe = setup_of(values).recipe;
    const StepPlan plan = step_plan(recipe, 40);
    const Schedule schedule = schedule_of(recipe, plan);
    return printed([&] {
      print_loop_start({recipe, plan, schedule, groups_, "out", resumed_after});
    });
  }

  std::vector<ParameterGroup> groups_ = {
      {true, 3, 1000, 1}, {false, 2, 50, 1}, {true, 4, 2000, 0.5}};
};

TEST_F(LoopStartTest, StepsAndRatesAreScaled) {
  const std::string once = text({{"per_device_batch_size", "4"},
                                 {"num_epochs", "10"},
                                 {"warmup_epochs", "2"},
                                 {"learning_rate", "0.064"}});
  EXPECT_THAT(once, HasSubstr("steps          100 in all, 10 per epoch, batches of 4 images\n"));
  EXPECT_THAT(once, HasSubstr("learning rate  0.001 at its peak (0.064 x 4 / 256), from 0 in 2 "
                              "epochs of warm-up, then cosine to "));
  EXPECT_THAT(once, HasSubstr("weight decay   0.05 on 7 tensors (3,000 values), none on 2 tensors "
                              "(50 values)\n"));
  EXPECT_THAT(once, HasSubstr("run folder     out\n"));
  EXPECT_THAT(once, Not(HasSubstr("layer decay")));
  const std::string parts = text({{"per_device_batch_size", "2"},
                                  {"grad_accum_steps", "2"},
                                  {"num_devices", "2"},
                                  {"num_epochs", "10"}});
  EXPECT_THAT(parts, HasSubstr("batches of 2 (accumulated) x 2 (devices) x 2 = 8 images\n"));
}

TEST_F(LoopStartTest, EveryLayersRateIsListed) {
  const std::string lines = text({{"layer_decay", "0.5"}, {"num_epochs", "10"}});
  EXPECT_THAT(lines, HasSubstr("layer decay    0.5 per layer; the learning rate is multiplied by\n"
                               "               1 for 3 tensors (1,000 values)\n"
                               "               1 for 2 tensors (50 values, not decayed)\n"
                               "               0.5 for 4 tensors (2,000 values)\n"));
}

TEST_F(LoopStartTest, AResumedRunSaysWhereItGoesOn) {
  const Settings::Values ten = {{"per_device_batch_size", "4"}, {"num_epochs", "10"}};
  EXPECT_THAT(text(ten, 25), HasSubstr("going on after step 25 of 100 (epoch 2.50)\n"));
  EXPECT_THAT(text(ten, 100), HasSubstr("this run is finished: all 100 steps are done"));
  EXPECT_THAT(text(ten), Not(HasSubstr("going on")));
  // With fewer epochs than it has done.
  EXPECT_THAT(text(ten, 250),
              HasSubstr("it has done 250 steps, and 100 are asked for; to go on, ask "
                        "for more than 25 epochs\n"));
}

}  // namespace
}  // namespace nestvit
