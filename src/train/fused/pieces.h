// How a fused layer's tokens are cut into pieces and shared out among threads. Free of libtorch.
#pragma once

#include <cstdint>
#include <vector>

namespace nestvit::train {

// Rows [first, first + rows) of the [B*T*N, C] tokens: whole blocks.
struct Piece {
  int64_t first, rows;
  // Whether drop-path has left each branch in for some image of the piece. What it left out is
  // never computed.
  bool attends, mixes;
};

struct PieceWork {
  int64_t images, blocks, tokens;  // B, T, N
  const float *keep1, *keep2;  // [B] what each image's branches are multiplied by, or null for 1
  int64_t attention_cost, mlp_cost;  // of a row, in any unit
};

// The pieces of each thread, in order, each row once: about as much work for each. A function of
// the arguments alone. Some threads may get nothing.
std::vector<std::vector<Piece>> share_out(const PieceWork& work, int64_t threads);

}  // namespace nestvit::train
