// Pieces and shares of a fused layer; see fused_pieces.h.
#include "train/fused/pieces.h"

#include <algorithm>

namespace nestvit::train {
namespace {

// Rows of a piece: enough for the matrix product's speed, few enough that a piece of NesT-T's
// widest array (256 x 768 values) leaves room for others in a 2 MB cache.
constexpr int64_t kRows = 256;

// Pieces end where an image ends, so that what drop-path left out can be left out, unless images
// are so small that the products would be slow.
std::vector<Piece> cut(const PieceWork& work, int64_t threads) {
  const int64_t blocks = work.images * work.blocks;
  const bool by_image = work.blocks * work.tokens >= kRows / 2;
  const int64_t unit = by_image ? work.blocks : blocks;
  const int64_t most = std::min(kRows / work.tokens, (blocks + threads - 1) / threads);
  const int64_t pieces = (unit + std::max<int64_t>(1, most) - 1) / std::max<int64_t>(1, most);
  std::vector<Piece> all;
  for (int64_t start = 0; start < blocks; start += unit)
    for (int64_t p = 0; p < pieces; ++p) {
      const int64_t from = start + unit * p / pieces, to = start + unit * (p + 1) / pieces;
      all.push_back({from * work.tokens, (to - from) * work.tokens, true, true});
    }
  return all;
}

bool kept(const PieceWork& work, const Piece& piece, const float* keep) {
  if (!keep) return true;
  const int64_t rows = work.blocks * work.tokens;
  return std::any_of(keep + piece.first / rows, keep + (piece.first + piece.rows - 1) / rows + 1,
                     [](float factor) { return factor != 0; });
}

}  // namespace

std::vector<std::vector<Piece>> share_out(const PieceWork& work, int64_t threads) {
  std::vector<Piece> pieces = cut(work, threads);
  std::vector<int64_t> costs;
  int64_t total = 0;
  for (Piece& piece : pieces) {
    piece.attends = kept(work, piece, work.keep1);
    piece.mixes = kept(work, piece, work.keep2);
    costs.push_back(piece.rows * (1 + (piece.attends ? work.attention_cost : 0) +
                                  (piece.mixes ? work.mlp_cost : 0)));
    total += costs.back();
  }
  std::vector<std::vector<Piece>> shares(static_cast<size_t>(threads));
  int64_t before = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    // Where the middle of its work lies in all of it.
    const int64_t share = (2 * before + costs[i]) * threads / (2 * total);
    shares[static_cast<size_t>(share)].push_back(pieces[i]);
    before += costs[i];
  }
  return shares;
}

}  // namespace nestvit::train
