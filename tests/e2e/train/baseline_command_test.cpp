// A ResNet baseline, end to end: trained, described, evaluated, refused where only a NesT will do.
#include "support/train_cli_test.h"

namespace nestvit {
namespace {

using ::testing::HasSubstr;

TEST_F(TrainCommandTest, BaselineFromTrainingToEvaluation) {
  const Arguments base = {"--model",
                          "resnet18_cifar",
                          "--img-size",
                          "8",
                          "--threads",
                          "1",
                          "-b",
                          "16",
                          "--epochs",
                          "1",
                          "--workers",
                          "1",
                          "--warmup-epochs",
                          "0"};
  Arguments train = {"train", data().string(), "--workdir", workdir().string()};
  train.insert(train.end(), base.begin(), base.end());
  const Finished trained = run(train);
  ASSERT_EQ(trained.code, 0) << trained.text;
  EXPECT_THAT(trained.text, HasSubstr("resnet18_cifar, input 3 x 8 x 8: 8 x 8 pixels of 64"));

  const std::string best = (workdir() / "best").string();
  const Finished described = run({"inspect", best}, "nestvit");
  EXPECT_EQ(described.code, 0) << described.text;
  EXPECT_THAT(described.text, HasSubstr("11,169,858"));  // 11,173,962 less eight classes

  const Finished evaluated =
      run({"train", "--config.eval_only=True", "--config.init_checkpoint=" + best, "--data-dir",
           data().string(), "--workdir", (root_ / "evaluated").string(), "--threads", "1"});
  EXPECT_EQ(evaluated.code, 0) << evaluated.text;
  EXPECT_THAT(evaluated.text, HasSubstr("[0] accuracy="));

  for (const Arguments& verb :
       {Arguments{"eval", "--model", best, "--data-dir", data().string()},
        Arguments{"convert", best, (root_ / "out.pth").string(), "--to", "pth"},
        Arguments{"predict", "--model", best, (data() / "dark/0.png").string()}}) {
    const Finished refused = run(verb, "nestvit");
    EXPECT_EQ(refused.code, 1) << refused.text;
    EXPECT_THAT(refused.text, HasSubstr("is a resnet18_cifar, a baseline")) << verb[0];
    EXPECT_THAT(refused.text, HasSubstr("--config.init_checkpoint=" + best)) << verb[0];
  }
  const Finished nest =
      run(small({"--model", "resnet18", "--workdir", (root_ / "another").string()}));
  EXPECT_EQ(nest.code, 2);
  EXPECT_THAT(nest.text, HasSubstr("resnet18 is not a NesT"));
}

}  // namespace
}  // namespace nestvit
