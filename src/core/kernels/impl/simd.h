// Registers of floats, of one width per instruction set, for every file of impl/ and isa/.
#pragma once

#include <cstdint>

namespace nestvit::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16, kTileRows = 8;  // 8 x 3 sums, of 32 registers
#elif defined(__AVX2__)
constexpr int kLanes = 8, kTileRows = 4;  // 4 x 3 sums, of 16 registers
#else
constexpr int kLanes = 4, kTileRows = 4;
#endif
// A register of floats. In memory they may begin at any float: a type of its own, since clang keeps
// a register's variables where their type says, but reads them as if at a whole register's border.
typedef float Vec __attribute__((vector_size(sizeof(float) * kLanes), may_alias));
typedef float UnalignedVec
    __attribute__((vector_size(sizeof(float) * kLanes), aligned(4), may_alias));

inline Vec load(const float* x) { return *reinterpret_cast<const UnalignedVec*>(x); }
inline void store(const Vec& v, float* x) { *reinterpret_cast<UnalignedVec*>(x) = v; }

// Lane numbers as a parameter pack: __builtin_shufflevector takes each as an argument.
template <int... kLane>
struct Lanes {};
#if defined(__AVX512F__)
constexpr Lanes<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15> kAll;
#elif defined(__AVX2__)
constexpr Lanes<0, 1, 2, 3, 4, 5, 6, 7> kAll;
#else
constexpr Lanes<0, 1, 2, 3> kAll;
#endif

template <int kDistance, int... kLane>
inline Vec swapped(const Vec& v, Lanes<kLane...>) {
  return __builtin_shufflevector(v, v, (kLane ^ kDistance)...);
}
// Interleaves the lower or the upper halves of two registers: a0, b0, a1, b1, ...
template <int... kLane>
inline Vec lower(const Vec& a, const Vec& b, Lanes<kLane...>) {
  return __builtin_shufflevector(a, b, (kLane / 2 + kLane % 2 * kLanes)...);
}
template <int... kLane>
inline Vec upper(const Vec& a, const Vec& b, Lanes<kLane...>) {
  return __builtin_shufflevector(a, b, (kLanes / 2 + kLane / 2 + kLane % 2 * kLanes)...);
}

// The sum of the lanes by halves. The compiler's own reduction takes lane after lane, which costs
// more than the rest of a short row.
inline float sum_of(Vec v) {
  if constexpr (kLanes > 8) v += swapped<kLanes / 2>(v, kAll);
  if constexpr (kLanes > 4) v += swapped<4>(v, kAll);
  v += swapped<2>(v, kAll);
  v += swapped<1>(v, kAll);
  return v[0];
}
inline Vec larger(const Vec& a, const Vec& b) { return a > b ? a : b; }
inline float largest_of(Vec v) {
  if constexpr (kLanes > 8) v = larger(v, swapped<kLanes / 2>(v, kAll));
  if constexpr (kLanes > 4) v = larger(v, swapped<4>(v, kAll));
  v = larger(v, swapped<2>(v, kAll));
  v = larger(v, swapped<1>(v, kAll));
  return v[0];
}

// Calls body.operator()<rows of a tile, kVecs>(first row, column) for tiles that cover all rows.
template <int kVecs, class Body>
inline void each_row_tile(int64_t rows, int64_t column, const Body& body) {
  int64_t i = 0;
  for (; i + kTileRows <= rows; i += kTileRows)
    body.template operator()<kTileRows, kVecs>(i, column);
  if constexpr (kTileRows > 4)
    for (; i + 4 <= rows; i += 4) body.template operator()<4, kVecs>(i, column);
  for (; i + 2 <= rows; i += 2) body.template operator()<2, kVecs>(i, column);
  for (; i < rows; ++i) body.template operator()<1, kVecs>(i, column);
}

constexpr int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

inline float inverse_sqrt(float x) { return 1.0f / __builtin_sqrtf(x); }

// y = x^T for x [kLanes, kLanes], whose rows from `rows` on count as 0. Interleaving registers i
// and i + kLanes / 2 moves one bit of the row number into the lane number.
inline void transpose_tile(const float* x, int64_t ld, int64_t rows, float* y, int64_t ld_y) {
  Vec r[kLanes], next[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) r[i] = i < rows ? load(x + i * ld) : Vec{};
#pragma GCC unroll 4
  for (int bit = 1; bit < kLanes; bit *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = lower(r[i], r[i + kLanes / 2], kAll);
      next[2 * i + 1] = upper(r[i], r[i + kLanes / 2], kAll);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) r[i] = next[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) store(r[i], y + i * ld_y);
}

// x [N, D] -> y = x^T [D, np], padded with zeros.
inline void transpose(const float* x, int64_t ld, int64_t N, int64_t D, int64_t np, float* y) {
  const int64_t whole = D / kLanes * kLanes;
  for (int64_t n = 0; n < N; n += kLanes)
    for (int64_t d = 0; d < whole; d += kLanes)
      transpose_tile(x + n * ld + d, ld, N - n, y + d * np + n, np);
  for (int64_t d = whole; d < D; ++d)
    for (int64_t n = 0; n < np; ++n) y[d * np + n] = n < N ? x[n * ld + d] : 0;
}

}  // namespace
}  // namespace nestvit::kernels
