// Resized position embeddings against the official code's and timm's, and shapes that cannot be.
#include "weights/posembed.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <limits>
#include <numeric>

#include "support/golden.h"
#include "support/near.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

using testing::golden_root;

// Every "<case>/in" of the file, resized to the shape of its "<case>/out".
void check(const std::string& file, PosEmbedResize mode, double tolerance) {
  const TensorMap tensors = read_safetensors(golden_root() / "posembed" / file);
  int cases = 0;
  for (const auto& [name, in] : tensors) {
    if (!name.ends_with("/in")) continue;
    SCOPED_TRACE(file + " " + name);
    const Tensor& out = find_tensor(tensors, name.substr(0, name.size() - 2) + "out", file);
    const Tensor got = resize_pos_embed(in, out.dim(1), out.dim(2), mode);
    ASSERT_EQ(got.shape(), out.shape());
    EXPECT_LE(testing::largest_difference(got.to_f32(), out.to_f32()), tolerance);
    ++cases;
  }
  EXPECT_GT(cases, 0);
}

TEST(PosEmbedGolden, BlockIsTheOfficialZoom) {
  check("official.safetensors", PosEmbedResize::kBlock, 1e-6);
  check("official.safetensors", PosEmbedResize::kAuto, 1e-6);  // the number of blocks stays
}

TEST(PosEmbedGolden, ImageIsTimms) { check("timm.safetensors", PosEmbedResize::kImage, 1e-5); }

Tensor counted(std::vector<int64_t> shape) {
  std::vector<float> values(static_cast<size_t>(*element_count(shape)));
  std::iota(values.begin(), values.end(), 0.0f);
  return Tensor::f32(std::move(shape), std::move(values));
}

// reference.md F.6: zoom([0, 1, 4] -> 5) = [0, .5, 1, 2.5, 4], here along both axes.
TEST(PosEmbed, BlockKeepsTheCorners) {
  const std::vector<float> line = {0, 1, 4}, longer = {0, .5, 1, 2.5, 4};
  std::vector<float> in, expected;
  for (const float y : line)
    for (const float x : line) in.push_back(10 * y + x);
  for (const float y : longer)
    for (const float x : longer) expected.push_back(10 * y + x);
  const Tensor got = resize_pos_embed(Tensor::f32({1, 1, 9, 1}, in), 1, 25, PosEmbedResize::kBlock);
  EXPECT_LE(testing::largest_difference(got.to_f32(), expected), 1e-5);
}

TEST(PosEmbed, BlockTakesOneTokenFromTheFirstAndGivesOneToAll) {
  const Tensor one =
      resize_pos_embed(counted({1, 4, 9, 2}), 4, 1, PosEmbedResize::kBlock);  // [1, 4, 1, 2]
  for (int64_t t = 0; t < 4; ++t) EXPECT_EQ(one.to_f32()[t * 2], static_cast<float>(t * 18));
  for (const float v :
       resize_pos_embed(Tensor::f32({1, 1, 1, 1}, {3}), 1, 16, PosEmbedResize::kBlock).to_f32())
    EXPECT_EQ(v, 3);
}

TEST(PosEmbed, TheSameShapeIsUntouched) {
  const Tensor table = counted({1, 16, 4, 3});
  for (const auto mode : {PosEmbedResize::kAuto, PosEmbedResize::kBlock, PosEmbedResize::kImage})
    EXPECT_EQ(resize_pos_embed(table, 16, 4, mode).to_f32(), table.to_f32());
}

// A constant stays one, whatever the mode and the numbers of blocks: weights add up to 1.
TEST(PosEmbed, ImageTakesAnyNumberOfBlocks) {
  const Tensor constant = Tensor::f32({1, 4, 9, 2}, std::vector<float>(72, 1.5f));
  for (const auto& [blocks, tokens] : {std::pair{16, 9}, {1, 4}, {4, 49}, {64, 1}})
    for (const float v :
         resize_pos_embed(constant, blocks, tokens,
                          blocks == 4 ? PosEmbedResize::kImage : PosEmbedResize::kAuto)
             .to_f32())
      EXPECT_NEAR(v, 1.5, 1e-5);  // weights are sums of float32 terms of up to 12
}

// Blocks only cut the plane: cut otherwise, the same plane comes out.
TEST(PosEmbed, ImageCutsThePlaneIntoOtherBlocks) {
  std::vector<float> whole(36);
  std::iota(whole.begin(), whole.end(), 0.0f);
  const Tensor cut = resize_pos_embed(Tensor::f32({1, 1, 36, 1}, whole), 4, 9,
                                      PosEmbedResize::kImage);  // 2 x 2 blocks of 3 x 3
  const std::vector<float> values = cut.to_f32();
  for (int y = 0; y < 6; ++y)
    for (int x = 0; x < 6; ++x)
      EXPECT_EQ(values[(y / 3 * 2 + x / 3) * 9 + y % 3 * 3 + x % 3], static_cast<float>(y * 6 + x));
}

TEST(PosEmbed, ShapesThatCannotBeAreErrors) {
  const auto refused = [](const Tensor& table, int64_t blocks, int64_t tokens,
                          PosEmbedResize mode) {
    EXPECT_THROW(resize_pos_embed(table, blocks, tokens, mode), Error)
        << shape_text(table.shape()) << " to " << blocks << " x " << tokens;
  };
  const Tensor table = counted({1, 4, 9, 2});
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  for (const auto mode : {PosEmbedResize::kAuto, PosEmbedResize::kBlock, PosEmbedResize::kImage}) {
    refused(table, 4, 8, mode);
    refused(table, 4, 0, mode);
    refused(table, 4, -9, mode);
    refused(table, 0, 9, mode);
    refused(table, 4, kHuge, mode);
    refused(table, kHuge, 9, mode);
    refused(table, 4, int64_t{1} << 60, mode);
    refused(counted({4, 9, 2}), 4, 16, mode);
    refused(counted({2, 4, 9, 2}), 4, 16, mode);
    refused(counted({1, 4, 8, 2}), 4, 16, mode);
    refused(Tensor::f32({1, 0, 9, 2}, {}), 4, 16, mode);
  }
  refused(table, 16, 9, PosEmbedResize::kBlock);
  refused(counted({1, 2, 9, 2}), 4, 16, PosEmbedResize::kAuto);
}

}  // namespace
}  // namespace nestvit
