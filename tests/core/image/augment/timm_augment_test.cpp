// timm's RandAugment: its operations against timm on Pillow, its string, its draws.
#include "image/augment/timm_augment.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cmath>
#include <limits>
#include <map>

#include "core/image/augment/augment_goldens.h"
#include "support/encoders.h"

namespace nestvit {
namespace {

using testing::AugmentGoldens;
using testing::gradient;

TEST(TimmAugmentGolden, OperationsAreTimms) {
  const AugmentGoldens goldens("timm_ops", testing::golden_root_with("augment/timm_ops.json"));
  std::map<std::string, int> seen;
  for (const auto& item : goldens.meta.at("cases")) {
    const std::string name = item.at("op");
    SCOPED_TRACE(item.at("key").get<std::string>());
    bool found = false;
    for (const bool increasing : {false, true})
      for (const TimmOp op : timm_ops()) {
        if (timm_op_name(op, increasing) != name || found) continue;
        found = true;
        ++seen[name];
        const double argument =
            timm_argument(op, item.at("level"), increasing, item.at("negative"));
        EXPECT_DOUBLE_EQ(argument, item.at("argument").get<double>());
        PillowTransform how;
        how.interpolation =
            item.at("resample") == "bicubic" ? Interpolation::kBicubic : Interpolation::kBilinear;
        how.fill = item.at("fill").get<std::vector<uint8_t>>();
        const Image input = goldens.image("input/" + item.at("input").get<std::string>());
        EXPECT_EQ(testing::differing(apply_timm_op(input, op, argument, how),
                                     goldens.image(item.at("key").get<std::string>())),
                  0U);
      }
    EXPECT_TRUE(found) << name;
  }
  for (const bool increasing : {false, true})
    for (const TimmOp op : timm_ops()) EXPECT_GT(seen[timm_op_name(op, increasing)], 0);
}

TEST(TimmAugment, StringsAreTimms) {
  const TimmRandAugment common = parse_timm_randaugment("rand-m9-mstd0.5-inc1");
  EXPECT_EQ(common.magnitude, 9);
  EXPECT_EQ(common.magstd, 0.5);
  EXPECT_TRUE(common.increasing);
  EXPECT_EQ(common.num_layers, 2);
  EXPECT_EQ(common.prob, 0.5);
  EXPECT_EQ(common.max, 10);
  const TimmRandAugment all = parse_timm_randaugment("rand-n3-p0.7-mmax15-m12-mstd101-inc0");
  EXPECT_EQ(all.num_layers, 3);
  EXPECT_EQ(all.prob, 0.7);
  EXPECT_EQ(all.max, 15);
  EXPECT_EQ(all.magnitude, 12);
  EXPECT_TRUE(std::isinf(all.magstd));
  EXPECT_FALSE(all.increasing);
  EXPECT_EQ(parse_timm_randaugment("rand").magnitude, 10);
  EXPECT_TRUE(is_timm_randaugment("rand-m9"));
  EXPECT_FALSE(is_timm_randaugment("randaugment"));
}

TEST(TimmAugment, MistakesNameTheSection) {
  for (const char* text : {"rand-m9-mstd", "rand-x3", "rand-m9.5", "rand-p1.5", "rand-inc2",
                           "rand-tweights", "rand-", "rand-m9--n2", "rand-m9e"}) {
    try {
      parse_timm_randaugment(text);
      ADD_FAILURE() << text;
    } catch (const UsageError& e) {
      EXPECT_NE(std::string(e.what()).find("section"), std::string::npos) << text;
      EXPECT_NE(e.hint().find("mstd"), std::string::npos);
    }
  }
}

TEST(TimmAugment, IsAPureFunctionOfTheGenerator) {
  const Image image = gradient(32, 32);
  TimmRandAugment settings = parse_timm_randaugment("rand-m9-mstd0.5-inc1");
  int changed = 0;
  for (uint64_t i = 0; i < 40; ++i) {
    Rng a(1, Purpose::kTest, 0, i), b(1, Purpose::kTest, 0, i);
    const Image once = timm_rand_augment(image, settings, a);
    EXPECT_EQ(once, timm_rand_augment(image, settings, b));
    changed += once == image ? 0 : 1;
  }
  // Both layers are left out with probability 1/4: 30 of 40 expected, 6 standard deviations of 2.7.
  EXPECT_GT(changed, 14);
  settings.prob = 0;
  Rng rng(1, Purpose::kTest);
  EXPECT_EQ(timm_rand_augment(image, settings, rng), image);
}

}  // namespace
}  // namespace nestvit
