// Pieces of a fused layer: each row once, work in balance, and the examples of pieces.h.
#include "train/fused/pieces.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace nestvit::train {
namespace {

TEST(FusedPieces, EachRowOnceAndBranchesByImage) {
  const std::vector<float> keep = {0, 1.25f, 1.25f, 0, 1.25f, 1.25f, 1.25f, 0};
  for (const int64_t threads : {1, 2, 3, 16})
    for (const auto& [blocks, tokens] : {std::pair{64, 16}, {4, 16}, {1, 16}, {16, 196}, {1, 300}})
      for (const float* keep2 : {static_cast<const float*>(nullptr), keep.data()}) {
        const auto shares = share_out({.images = 8,
                                       .blocks = blocks,
                                       .tokens = tokens,
                                       .keep1 = nullptr,
                                       .keep2 = keep2,
                                       .attention_cost = 5,
                                       .mlp_cost = 8},
                                      threads);
        ASSERT_EQ(shares.size(), static_cast<size_t>(threads));
        int64_t next = 0;
        for (const auto& share : shares)
          for (const Piece& piece : share) {
            EXPECT_EQ(piece.first, next);
            EXPECT_EQ(piece.rows % tokens, 0);
            EXPECT_TRUE(piece.keeps_attention);
            const int64_t rows = int64_t{blocks} * tokens, image = piece.first / rows;
            const bool one_image = (piece.first + piece.rows - 1) / rows == image;
            EXPECT_TRUE(!one_image || piece.keeps_mlp == (!keep2 || keep2[image] != 0));
            next += piece.rows;
          }
        EXPECT_EQ(next, 8 * blocks * tokens);
      }
}

// The rows of each thread's pieces.
std::vector<std::vector<int64_t>> rows_of(const std::vector<std::vector<Piece>>& shares) {
  std::vector<std::vector<int64_t>> rows;
  for (const auto& share : shares) {
    rows.emplace_back();
    for (const Piece& piece : share) rows.back().push_back(piece.rows);
  }
  return rows;
}

using Rows = std::vector<std::vector<int64_t>>;

TEST(FusedPieces, AnImageForEachThread) {
  PieceWork work{.images = 2,
                 .blocks = 4,
                 .tokens = 196,
                 .keep1 = nullptr,
                 .keep2 = nullptr,
                 .attention_cost = 776,
                 .mlp_cost = 768};
  EXPECT_EQ(rows_of(share_out(work, 2)), (Rows{{196, 196, 196, 196}, {196, 196, 196, 196}}));
  const float first_only[] = {1, 0};
  work.keep1 = work.keep2 = first_only;
  EXPECT_EQ(rows_of(share_out(work, 2)), (Rows{{196, 196}, {196, 196, 196, 196, 196, 196}}));
}

TEST(FusedPieces, SmallImagesShareAPiece) {
  const PieceWork work{.images = 5,
                       .blocks = 1,
                       .tokens = 49,
                       .keep1 = nullptr,
                       .keep2 = nullptr,
                       .attention_cost = 5,
                       .mlp_cost = 8};
  EXPECT_EQ(rows_of(share_out(work, 2)), (Rows{{2 * 49}, {3 * 49}}));
}

}  // namespace
}  // namespace nestvit::train
