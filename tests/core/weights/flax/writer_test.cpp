// Official checkpoint folders as we write them: read back bit for bit, and byte by byte as flax has
// them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "base/file.h"
#include "support/same_tensors.h"
#include "support/temp_dir.h"
#include "weights/flax/checkpoint.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace std::string_literals;

class FlaxWriter : public ::testing::Test {
 protected:
  std::string written() const {
    write_flax_checkpoint(folder_ / "out", params_, {});
    return read_text(folder_ / "out/ckpt-1.flax");
  }
  const testing::TempDir folder_;
  const TensorMap params_ = {{"A_0/kernel", Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6})},
                             {"A_0/sub/bias", Tensor::f32({1}, {-7})},
                             {"B_0/scale", Tensor::f32({0, 4}, {})}};
};

TEST_F(FlaxWriter, RoundTripIsExact) {
  const TensorMap stats = {{"BatchNorm_0/mean", Tensor::f32({2}, {0.5f, 8})}};
  write_flax_checkpoint(folder_ / "out", params_, stats);
  const auto file = find_flax_checkpoint(folder_ / "out" / "ckpt.7");
  ASSERT_TRUE(file);
  const FlaxCheckpoint back = read_flax_checkpoint(*file);
  EXPECT_EQ(back.step, 0);
  testing::expect_same(back.params, params_, "params");
  testing::expect_same(back.batch_stats, stats, "batch_stats");
}

// The byte goldens of reference.md C.3.
TEST_F(FlaxWriter, BytesFollowFlax) {
  const std::string text = written();
  EXPECT_TRUE(looks_like_flax(std::as_bytes(std::span(text))));
  EXPECT_THAT(text, HasSubstr("\xc7\x0e\x01\x93\x90\xa5int32\xc4\x04\0\0\0\0"s));
  EXPECT_THAT(text, HasSubstr("\xa6kernel\xc7\x26\x01\x93\x92\x02\x03\xa7"
                              "float32\xc4\x18"));
}

// Both Adam moments of every array, all zeros: flax restores a whole TrainState.
TEST_F(FlaxWriter, MomentsAreZeros) {
  const std::string text = written();
  size_t arrays = 0;
  for (size_t at = 0; (at = text.find("\xa7"
                                      "float32\xc4\x04"s,
                                      at)) != std::string::npos;
       ++at)
    ++arrays;
  EXPECT_EQ(arrays, 3u) << "bias and its two moments";
  EXPECT_THAT(text, HasSubstr("\xa7"
                              "float32\xc4\x18"s +
                              std::string(24, '\0')));
}

TEST_F(FlaxWriter, TwoWritesAreTheSameAndReplaceTheFolder) {
  const std::string first = written();
  write_file(folder_ / "out/stale", std::string_view("x"));
  EXPECT_EQ(written(), first);
  EXPECT_FALSE(fs::exists(folder_ / "out/stale"));
  EXPECT_EQ(read_text(folder_ / "out/checkpoint").find("model_checkpoint_path: \"ckpt-1\""), 0u);
}

}  // namespace
}  // namespace nestvit
