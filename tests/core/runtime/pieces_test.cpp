// How the rows of a level are cut: the examples of forward.h, and what holds for every level.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/forward.h"

namespace nestvit {
namespace {

Level level_of(int blocks, int tokens) {
  Level level{};
  level.blocks = blocks;
  level.tokens = tokens;
  return level;
}

std::vector<int64_t> lengths(const std::vector<Piece>& all) {
  std::vector<int64_t> rows;
  for (const Piece& piece : all) rows.push_back(piece.rows);
  return rows;
}

TEST(Pieces, ExamplesOfTheHeader) {
  using ::testing::ElementsAre;
  EXPECT_THAT(lengths(pieces(4, level_of(1, 196), 256, 2)), ElementsAre(196, 196, 196, 196));
  EXPECT_THAT(lengths(pieces(3, level_of(1, 196), 256, 2)), ElementsAre(144, 148, 148, 148));
  EXPECT_THAT(lengths(pieces(3, level_of(1, 49), 256, 2)), ElementsAre(24, 25, 24, 25, 24, 25));
}

TEST(Pieces, CoverAllRowsAndEndWithFours) {
  for (const int64_t images : {1, 2, 3, 8})
    for (const int blocks : {1, 4, 16})
      for (const int tokens : {1, 4, 9, 16, 49, 196, 324})
        for (const int64_t most : {4, 50, 256})
          for (const int threads : {1, 2, 3, 16}) {
            SCOPED_TRACE(::testing::Message()
                         << images << " images of " << blocks << " x " << tokens << ", " << most
                         << " rows, " << threads << " threads");
            const int64_t image = int64_t{blocks} * tokens;
            int64_t next = 0;
            for (const Piece& piece : pieces(images, level_of(blocks, tokens), most, threads)) {
              ASSERT_EQ(piece.first, next);
              ASSERT_GE(piece.rows, 1);
              ASSERT_LE(piece.rows, image % 4 == 0 ? most : most + 3);
              ASSERT_EQ(piece.first % image % 4, 0);
              next += piece.rows;
            }
            ASSERT_EQ(next, images * image);
          }
}

}  // namespace
}  // namespace nestvit
