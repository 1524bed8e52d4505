// How the tokens of a fused layer are cut into pieces and shared among threads. Free of libtorch.
#pragma once

#include <cstdint>
#include <vector>

namespace nestvit::train {

// Rows [first, first + rows) of the [B*T*N, C] tokens: whole blocks.
struct Piece {
  int64_t first, rows;
  // Whether drop-path keeps the branch for some image of the piece. A branch that it drops for all
  // of them is not computed.
  bool keeps_attention, keeps_mlp;
};

struct PieceWork {
  int64_t images, blocks, tokens;  // B, T, N
  // [B], the factor of each image's branch, or null for 1.
  const float *keep1, *keep2;
  int64_t attention_cost, mlp_cost;  // of a row, in any unit
};

// The pieces of each thread, in order, so that each row is in one piece and every thread has about
// the same work. A function of the arguments alone. A thread may get no piece.
//
// 2 images of 4 blocks of 196 tokens for 2 threads: a piece has at most 256 rows, so it is a block;
// 8 pieces, and each thread gets an image of 4. If drop-path drops both branches of the second
// image, its pieces cost next to nothing: the first thread gets 2 pieces, the second the other 6.
std::vector<std::vector<Piece>> share_out(const PieceWork& work, int64_t threads);

}  // namespace nestvit::train
