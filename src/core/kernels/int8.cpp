// Products of 8-bit integers in plain C++, the reference of isa/int8_*.cpp, and how every set's
// weights are packed. Not in isa/, since it uses base/int8.h; it is compiled for every processor.
#include "kernels/int8.h"

#include <cstring>

#include "base/number/int8.h"
#include "kernels/isa/tables.h"

namespace nestvit::kernels {
namespace {

void round(const float* x, int64_t rows, int64_t width, uint32_t* packed) {
  for (int64_t r = 0; r < rows; ++r, x += width, packed += int8_row_words(width)) {
    const float scale = int8_scale({x, static_cast<size_t>(width)});
    for (int64_t p = 0; p < width; p += 4) {
      uint32_t word = 0;
      for (int64_t i = 0; i < 4; ++i)
        word |= static_cast<uint32_t>(int8_value(x[p + i], scale) + kInt8Zero) << 8 * i;
      packed[p / 4] = word;
    }
    std::memcpy(packed + width / 4, &scale, sizeof scale);
  }
}

// Four unsigned times four signed bytes.
int32_t product_of(uint32_t a, uint32_t w) {
  int32_t sum = 0;
  for (int i = 0; i < 32; i += 8)
    sum += static_cast<int32_t>(a >> i & 0xff) * static_cast<int8_t>(w >> i & 0xff);
  return sum;
}

void gemm(const Int8Gemm& p) {
  const int64_t words = p.width / 4, stride = words + 1;
  const int64_t columns = (p.n + kInt8Panel - 1) / kInt8Panel * kInt8Panel;
  for (int64_t i = 0; i < p.m; ++i)
    for (int64_t j = 0; j < p.n; ++j) {
      const uint32_t* w =
          p.weight + j / kInt8Panel * kInt8Panel * p.tap_count * words + j % kInt8Panel;
      float sum = 0;
      for (int64_t t = 0; t < p.tap_count; ++t) {
        const uint32_t* a = p.a + (i + p.taps[t]) * stride;
        int32_t whole = p.offsets[t * columns + j];
        for (int64_t q = 0; q < words; ++q, w += kInt8Panel) whole += product_of(a[q], *w);
        float scale;
        std::memcpy(&scale, a + words, sizeof scale);
        sum += static_cast<float>(whole) * scale;
      }
      const float value = sum * p.scales[j] + p.bias[j];
      float& c = p.c[i * p.ldc + j];
      c = p.add ? c + value : value;
    }
}

}  // namespace

constinit const Int8Kernels kInt8Plain = {.name = "plain", .round = round, .gemm = gemm};

void int8_pack(const float* weight, int64_t n, int64_t tap_count, int64_t width, int64_t columns,
               uint32_t* packed, int32_t* offsets, float* scales) {
  const int64_t words = width / 4, k = tap_count * width;
  for (int64_t j = 0; j < kInt8Panel; ++j) {
    const float* row = weight + j * k;
    scales[j] = j < n ? int8_scale({row, static_cast<size_t>(k)}) : 0;
    for (int64_t t = 0; t < tap_count; ++t) {
      int32_t sum = 0;
      for (int64_t q = 0; q < words; ++q) {
        uint32_t word = 0;
        for (int64_t i = 0; j < n && i < 4; ++i) {
          const int8_t value = int8_value(row[t * width + 4 * q + i], scales[j]);
          sum += value;
          word |= static_cast<uint32_t>(static_cast<uint8_t>(value)) << 8 * i;
        }
        packed[(t * words + q) * kInt8Panel + j] = word;
      }
      offsets[t * columns + j] = -static_cast<int32_t>(kInt8Zero) * sum;
    }
  }
}

}  // namespace nestvit::kernels
