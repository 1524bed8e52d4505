// Whether a trained network answers in the short types as it does in f32: a small one, a few
// hundred steps on Fashion-MNIST.
#include <cstdlib>

#include "support/train_cli_test.h"

namespace nestvit {
namespace {

constexpr const char* kData = "/usr/share/datasets/fashion-mnist";  // of scripts/packages.txt

// Of "agreement  99.88 % of first answers".
double agreement(const std::string& text) {
  const size_t at = text.find("agreement");
  return at == std::string::npos ? -1 : std::strtod(text.c_str() + at + 9, nullptr);
}

TEST_F(TrainCommandTest, TrainedNetworkAnswersTheSameInShortTypes) {
  if (!fs::exists(kData)) GTEST_SKIP() << "needs " << kData;
  const std::string recipe = NESTVIT_SOURCE_DIR "/configs/fashion_mnist_nest.yaml";
  const Finished trained = run({"train", "--config", recipe, "--data-dir", kData, "--workdir",
                                workdir().string(), "--threads", "1", "--workers", "1",
                                "--config.num_train_steps=200", "--config.num_eval_steps=1"});
  ASSERT_EQ(trained.code, 0) << trained.text;
  for (const auto& [type, least] : {std::pair{"bf16", 99.5}, {"int8", 98.0}}) {
    const Finished made =
        run({"quantize", "--model", (workdir() / "last").string(), "--output",
             (root_ / type).string(), "--type", type, "--data-dir", kData, "--limit", "2000"},
            "nestvit");
    EXPECT_EQ(made.code, 0) << made.text;
    EXPECT_GE(agreement(made.text), least) << made.text;
  }
}

}  // namespace
}  // namespace nestvit
