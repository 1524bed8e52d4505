// Matrix products of 8-bit integers. Each row of activations and each output column of a weight is
// rounded with a scale of its own. Sums are exact 32-bit integers; scales, bias and c are f32. Each
// call works on one thread.
#pragma once

#include <cstdint>

namespace nestvit::kernels {

constexpr int64_t kInt8Panel = 48;  // columns of a weight that are packed together
constexpr int64_t kInt8Zero = 128;  // the byte for 0 in a row of activations

// 32-bit words of a row of `width` values (a multiple of 4): four values a word, then the scale,
// f32.
static constexpr int64_t int8_row_words(int64_t width) { return width / 4 + 1; }

// c[i, j] = bias[j] + sum over taps t and p < width of a[i + taps[t], p] * W[j, t * width + p];
// with `add`, c[i, j] += that. Taps count rows of a: {0} for a linear layer, nine for a 3 x 3
// convolution over a plane. Each c[i, j] is accumulated in the same order for any m, n and
// position: results are bit-stable.
struct Int8Gemm {
  const uint32_t* a;  // from round()
  const int64_t* taps;
  int64_t tap_count, width;
  const uint32_t* weight;  // this and the next two from int8_pack(), panel by panel
  const int32_t* offsets;  // [tap_count, columns]
  const float* scales;     // [columns]
  const float* bias;       // [columns], a whole number of panels
  int64_t m, n;
  bool add;
  float* c;
  int64_t ldc;
};

struct Int8Kernels {
  const char* name;  // of the instruction set

  // x [rows, width] -> packed [rows, int8_row_words(width)]: round(x / s) + 128 with s = max|x| /
  // 127 of the row, so that |x - s q| <= s / 2. If a value of the row is not finite, neither is s,
  // and no result of the row is.
  void (*round)(const float* x, int64_t rows, int64_t width, uint32_t* packed);
  void (*gemm)(const Int8Gemm& p);
};

// Packs one panel of W [n <= 48, tap_count * width], whose rows base/int8.h rounds: packed
// [tap_count * width / 4, 48] words, offsets [tap_count, 48], whose rows are `columns` apart, and
// scales [48], all padded with zeros. The 128 in each activation adds 128 * the sum of the weights
// to a tap's sum; its offset is the negative of that.
void int8_pack(const float* weight, int64_t n, int64_t tap_count, int64_t width, int64_t columns,
               uint32_t* packed, int32_t* offsets, float* scales);

}  // namespace nestvit::kernels
