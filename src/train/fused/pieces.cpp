// Cuts tokens into pieces and deals them to threads by their cost.
#include "train/fused/pieces.h"

#include <algorithm>

namespace nestvit::train {
namespace {

// Rows of a piece: enough for the speed of the matrix products, few enough that a piece of NesT-T's
// widest array (256 x 768 values) leaves space for others in a cache of 2 MB.
constexpr int64_t kRows = 256;

// A piece ends where its image ends, so that a branch that drop-path drops can be left out, unless
// images are so small that the products would be slow.
//
// 3 images of 16 blocks of 16 tokens (256 rows) for 2 threads: an image is one piece of 16 blocks.
// 5 images of 1 block of 49 tokens for 2 threads: images share pieces. A thread's part is 3 blocks
// and 256 rows hold 5, so 5 blocks are cut into 2 pieces, of 2 and of 3.
std::vector<Piece> cut(const PieceWork& work, int64_t threads) {
  const int64_t blocks = work.images * work.blocks;
  const bool by_image = work.blocks * work.tokens >= kRows / 2;
  // Blocks that are cut together, the most of them in a piece, and the pieces that makes.
  const int64_t unit = by_image ? work.blocks : blocks;
  const int64_t most =
      std::max<int64_t>(1, std::min(kRows / work.tokens, (blocks + threads - 1) / threads));
  const int64_t pieces = (unit + most - 1) / most;
  std::vector<Piece> all;
  for (int64_t start = 0; start < blocks; start += unit)
    for (int64_t p = 0; p < pieces; ++p) {
      const int64_t from = start + unit * p / pieces, to = start + unit * (p + 1) / pieces;
      all.push_back({.first = from * work.tokens,
                     .rows = (to - from) * work.tokens,
                     .keeps_attention = true,
                     .keeps_mlp = true});
    }
  return all;
}

bool keeps(const PieceWork& work, const Piece& piece, const float* keep) {
  if (!keep) return true;
  const int64_t rows = work.blocks * work.tokens;
  const float *first = keep + piece.first / rows,
              *last = keep + (piece.first + piece.rows - 1) / rows;
  return std::any_of(first, last + 1, [](float factor) { return factor != 0; });
}

}  // namespace

std::vector<std::vector<Piece>> share_out(const PieceWork& work, int64_t threads) {
  std::vector<Piece> pieces = cut(work, threads);
  std::vector<int64_t> costs;
  int64_t total = 0;
  for (Piece& piece : pieces) {
    piece.keeps_attention = keeps(work, piece, work.keep1);
    piece.keeps_mlp = keeps(work, piece, work.keep2);
    costs.push_back(piece.rows * (1 + (piece.keeps_attention ? work.attention_cost : 0) +
                                  (piece.keeps_mlp ? work.mlp_cost : 0)));
    total += costs.back();
  }
  std::vector<std::vector<Piece>> shares(static_cast<size_t>(threads));
  int64_t before = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    // The middle of the piece's work, as a share of all work.
    const int64_t share = (2 * before + costs[i]) * threads / (2 * total);
    shares[static_cast<size_t>(share)].push_back(pieces[i]);
    before += costs[i];
  }
  return shares;
}

}  // namespace nestvit::train
