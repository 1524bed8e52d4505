// nestvit data augment, end to end.
#include "image/augment/randaugment_ops.h"
#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

class DataAugmentCli : public CliTest {
 protected:
  void SetUp() override {
    image_ = Image{24, 40, 3, {}};
    for (size_t i = 0; i < image_.size(); ++i)
      image_.pixels.push_back(static_cast<uint8_t>(i * 37 % 251));
    write_png(path("in.png"), image_);
  }
  Image image_;
};

TEST_F(DataAugmentCli, AppliesAnOperation) {
  const TfOpSettings settings = tf_op_settings(24);
  for (TfOp op : tf_ops())
    for (const char* sign : {"+", "-"}) {
      const Outcome outcome = nestvit(fmt::format(
          "data augment --op {} --level 0.5 --sign {} in.png out.png", tf_op_name(op), sign));
      ASSERT_EQ(outcome.code, 0) << outcome.err;
      EXPECT_EQ(read_image(path("out.png"), {}),
                apply_tf_op(image_, op, 0.5f, sign[0] == '-', settings))
          << tf_op_name(op) << sign;
    }
}

TEST_F(DataAugmentCli, ExplainsWhatIsWrong) {
  expect_failure(nestvit("data augment --op Rotat in.png out.png"), 2, {"Rotat", "Rotate"});
  expect_failure(nestvit("data augment --op Rotate --level 9 in.png out.png"), 2, {"9", "[0, 1]"});
  expect_failure(nestvit("data augment --op Rotate in.png out.gif"), 2, {"out.gif", ".png"});
  expect_failure(nestvit("data augment --op Rotate nowhere.png out.png"), 1, {"nowhere.png"});
  EXPECT_FALSE(fs::exists(path("out.png")));
}

}  // namespace
}  // namespace nestvit::testing
