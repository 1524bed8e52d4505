// Matrix products of 8-bit integers: rows of activations are rounded to a scale of their own, each
// output column of a weight to one of its own; sums are exact 32-bit integers, their scaling and
// all else f32. Each call works on one thread.
#pragma once

#include <cstdint>

namespace nestvit::kernels {

constexpr int64_t kInt8Panel = 48;  // columns of a weight that lie together
constexpr int64_t kInt8Zero = 128;  // what stands for 0 in a row of activations

// 32-bit words of a row of `width` values (a multiple of 4): four to a word, then the scale's f32.
static constexpr int64_t int8_row_words(int64_t width) { return width / 4 + 1; }

// c[i, j] = bias[j] + sum over taps t and p < width of a[i + taps[t], p] * W[j, t * width + p],
// added to what c holds when `add` is set; taps count rows of a, as a 3 x 3 convolution over a
// plane wants them ({0} for a linear layer).
// What a value of c is made of does not depend on m, n or its place.
struct Int8Gemm {
  const uint32_t* a;  // by round()
  const int64_t* taps;
  int64_t tap_count, width;
  const uint32_t* weight;  // these three by pack(), panel by panel
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
  // 127 of the row, so that |x - s q| <= s / 2. Where x is not finite, nor is s, nor what is made
  // of the row.
  void (*round)(const float* x, int64_t rows, int64_t width, uint32_t* packed);
  void (*gemm)(const Int8Gemm& p);
};

// W [n <= 48, tap_count * width], one panel, rows rounded by base/int8.h: packed [tap_count * width
// / 4, 48] words, offsets, of which those of a tap are `columns` apart, and scales [48]; padded
// with zeros. Offsets are what the activations' 128 adds to the sums of a tap, negated.
void int8_pack(const float* weight, int64_t n, int64_t tap_count, int64_t width, int64_t columns,
               uint32_t* packed, int32_t* offsets, float* scales);

}  // namespace nestvit::kernels
