// How the rows of a level are cut among threads, in the forward and in its backward.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "runtime/packed/weights.h"

namespace nestvit {

struct Piece {
  int64_t first, rows;  // of the B * T * N rows of a level
};

// Cuts the rows of `images` images into about equal pieces, as many for each thread. A piece has at
// most `most` rows (at least 4), or up to 3 more where an image does not end with a group of four.
// Pieces are whole blocks where each thread gets as many blocks: a block's keys are then prepared
// once. Elsewhere they end where a group of four rows of an image does, because the rounding of
// Linear::strassen() depends on the group. For 2 threads and at most 256 rows:
//
//   4 images of one block of 196 rows   4 pieces of 196: a block each, two for each thread
//   3 images of one block of 196 rows   3 blocks cannot be shared evenly, so the 588 rows are cut
//                                       into 4 pieces of 144, 148, 148 and 148
//   3 images of one block of 49 rows    49 does not end with a group of four, so each image is cut
//                                       by itself, into 24 and 25
std::vector<Piece> pieces(int64_t images, const Level& level, int64_t most, int threads);

// Rows of a level of one image, T * N.
int64_t rows_of(const Level& level);
// Rows that a piece of it should have at most.
int64_t most_rows(const PackedLevel& level);

// Dynamic: a disturbed core takes fewer.
template <class Body>
void parallel_for(int64_t count, const Body& body) {
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < count; ++i) body(i);
}

// body(row, rows) for the rows of a piece that lie in the same block, or image, of `size` rows.
template <class Body>
void each_part(const Piece& piece, int64_t size, const Body& body) {
  const int64_t end = piece.first + piece.rows;
  for (int64_t row = piece.first, next = 0; row < end; row = next) {
    next = std::min(end, (row / size + 1) * size);
    body(row, next - row);
  }
}

// x [T, N, C] of an image -> row y of the plane [size + 2, C] with its border of zeros: the blocks
// beside each other.
void plane_row(const Level& level, const float* x, int64_t y, float* row);

// Floats that a linear layer of the level needs beside its input and output of `rows` rows.
int64_t linear_scratch(const PackedLevel& level, int64_t rows);
// The layer, by Strassen's products where the level uses them.
void apply(const Linear& linear, bool use_strassen, Linear::Call call, float* scratch);

}  // namespace nestvit
