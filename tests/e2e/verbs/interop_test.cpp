// The real tools on the other side (timm, torch, safetensors, flax, huggingface_hub, tensorboard),
// where Python has them: tools/interop/check.py does the comparing. Skipped, and said so, where
// they are not installed.
#include <cstdlib>

#include "support/cli_test.h"

namespace nestvit {
namespace {

class Interop : public testing::CliTest {
 protected:
  void check(const std::string& name) {
    const char* set = std::getenv("NESTVIT_PYTHON");
    const std::string python = set && *set ? set : "python3";
    const auto outcome = shell(fmt::format("'{}' '{}/tools/interop/check.py' nestvit {}", python,
                                           NESTVIT_SOURCE_DIR, name));
    if (outcome.code == 77 || outcome.code == 127)
      GTEST_SKIP() << outcome.out
                   << "install tools/interop/requirements.txt and set NESTVIT_PYTHON";
    EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  }
};

TEST_F(Interop, Timm) { check("timm"); }
TEST_F(Interop, ResNet) { check("resnet"); }
TEST_F(Interop, Curves) { check("curves"); }
TEST_F(Interop, Torch) { check("torch"); }
TEST_F(Interop, Safetensors) { check("safetensors"); }
TEST_F(Interop, Flax) { check("flax"); }
TEST_F(Interop, Hub) { check("hub"); }
TEST_F(Interop, TensorBoard) { check("tensorboard"); }

}  // namespace
}  // namespace nestvit
