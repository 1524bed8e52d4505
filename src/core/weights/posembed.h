// Position embeddings for another image size. reference.md F.6 and A.7.
#pragma once

#include "weights/tensor.h"

namespace nestvit {

// kBlock: each block on its own, bilinear with aligned corners, as the paper's code (the number of
// blocks stays). kImage: blocks put together to the whole plane, bicubic (a = -0.75, half-pixel
// centres), cut into blocks again, as timm intends. kAuto: kBlock where the number of blocks
// stays, else kImage.
enum class PosEmbedResize { kAuto, kBlock, kImage };

// [1, T, N, C] -> [1, blocks, tokens, C]; all four of T, N, blocks, tokens are squares (kBlock
// leaves T as it is and takes any). The same T and N: unchanged. Throws Error for shapes that the
// mode cannot make.
Tensor resize_pos_embed(const Tensor& embedding, int64_t blocks, int64_t tokens,
                        PosEmbedResize mode);

}  // namespace nestvit
