// A product by one level of Strassen's recursion, in Winograd's form (Higham, Accuracy and
// Stability of Numerical Algorithms, 23.1): seven products of halves instead of eight.
//
// The upper half is the first two of each four rows, the lower half the other two: threads may
// split the rows at any multiple of four without changing a bit. Two neighbouring panels are the
// left and the right half of the columns. Names are the book's: a11 is the upper rows and the first
// half of k, b12 the first half of k and the right panel; s are sums of a's quarters, t sums of
// b's, m products.
#pragma once

#include "kernels/impl/gemm.h"

namespace nestvit::kernels {
namespace {

// Sums stay in registers only if every function that takes them is inlined.
#define NESTVIT_INLINE inline __attribute__((always_inline))

constexpr int64_t kLine = 16;  // floats of a cache line

template <int kRows>
using Sums = Vec[kRows][kTileVecs];

// Row i of a half lies at data + i / 2 * two + i % 2 * one.
template <class Float>
struct HalfRows {
  Float* data;
  int64_t one, two;

  Float* row(int64_t i) const { return data + i / 2 * two + i % 2 * one; }
  HalfRows from(int64_t i) const { return {row(i), one, two}; }
};

// The right operand: k rows of a panel x; or x - y, stored into `made`.
struct HalfPanel {
  const float *x, *y;
  float* made;
  const float* next;  // k cache lines to fetch meanwhile; not used if `made` is written
};

// sum += a times the panel. With kMake the panel is x - y, which come from further away and are
// fetched ahead.
template <bool kMake, int kRows>
NESTVIT_INLINE void add_half(Sums<kRows>& sum, const HalfRows<const float>& a,
                             const HalfPanel& panel, int64_t k) {
  constexpr int64_t kAhead = 32 * kPanel;
  for (int64_t q = 0; q < k; ++q) {
    if constexpr (!kMake) __builtin_prefetch(panel.next + q * kLine);
    Vec right[kTileVecs];
#pragma GCC unroll 4
    for (int j = 0; j < kTileVecs; ++j) {
      const int64_t at = q * kPanel + j * kLanes;
      right[j] = load(panel.x + at);
      if constexpr (kMake) {
        __builtin_prefetch(panel.x + at + kAhead);
        __builtin_prefetch(panel.y + at + kAhead);
        right[j] -= load(panel.y + at);
        store(right[j], panel.made + at);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const float left = a.row(i)[q];
#pragma GCC unroll 4
      for (int j = 0; j < kTileVecs; ++j) sum[i][j] += left * right[j];
    }
  }
}

template <int kRows>
NESTVIT_INLINE void copy(const Sums<kRows>& from, Sums<kRows>& to) {
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kTileVecs; ++j) to[i][j] = from[i][j];
}

template <int kRows>
NESTVIT_INLINE void add(Sums<kRows>& sum, const Sums<kRows>& more) {
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kTileVecs; ++j) sum[i][j] += more[i][j];
}

template <bool kAdd, int kRows>
NESTVIT_INLINE void write(const Sums<kRows>& sum, const float* bias, const HalfRows<float>& c) {
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kTileVecs; ++j) {
      float* to = c.row(i) + j * kLanes;
      const Vec whole = sum[i][j] + load(bias + j * kLanes);
      store(kAdd ? load(to) + whole : whole, to);
    }
}

template <int kRows>
NESTVIT_INLINE void fetch_for_writing(const HalfRows<float>& c) {
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) fetch_for_writing<kTileVecs>(c.row(i));
}

struct LeftQuarters {
  HalfRows<const float> a11, a12, a22, s1, s2, s3, s4;

  LeftQuarters from(int64_t i) const {
    return {a11.from(i), a12.from(i), a22.from(i), s1.from(i), s2.from(i), s3.from(i), s4.from(i)};
  }
};
struct RightQuarters {
  const float *b11, *b12, *b21, *b22;
  float *t1, *t2, *t3, *t4;  // t4 has the opposite sign of the book's
  const float* next;         // 7 k cache lines to fetch meanwhile
};

// kRows rows of each half times two panels. With kMake, for the first rows, it also computes t1 to
// t4.
template <int kRows, bool kMake, bool kAdd>
inline void seven_products(const LeftQuarters& a, const RightQuarters& b, int64_t k,
                           const float* bias, const HalfRows<float>& upper,
                           const HalfRows<float>& lower) {
  const float* next = b.next;
  const auto ready = [&](const float* panel) {
    next += k * kLine;
    return HalfPanel{panel, nullptr, nullptr, next - k * kLine};
  };
  const auto right = [&](const float* x, const float* y, float* made) {
    return kMake ? HalfPanel{x, y, made, nullptr} : ready(made);
  };
  const auto beside = [](const HalfRows<float>& c) {
    return HalfRows<float>{c.data + kPanel, c.one, c.two};
  };
  alignas(64) Sums<kRows> m1, m5, u4;
  Sums<kRows> sum = {};
  add_half<kMake>(sum, a.s1, right(b.b12, b.b11, b.t1), k);
  copy<kRows>(sum, m5);

  copy<kRows>({}, sum);
  fetch_for_writing<kRows>(upper);
  add_half<false>(sum, a.a11, ready(b.b11), k);
  copy<kRows>(sum, m1);
  add_half<false>(sum, a.a12, ready(b.b21), k);
  write<kAdd, kRows>(sum, bias, upper);  // m1 + m2

  copy<kRows>(m1, sum);
  fetch_for_writing<kRows>(beside(lower));
  add_half<kMake>(sum, a.s2, right(b.b22, b.t1, b.t2), k);  // u2 = m1 + m6
  copy<kRows>(sum, u4);
  add<kRows>(u4, m5);
  fetch_for_writing<kRows>(lower);
  add_half<kMake>(sum, a.s3, right(b.b22, b.b12, b.t3), k);  // u3 = u2 + m7
  add<kRows>(m5, sum);
  write<kAdd, kRows>(m5, bias + kPanel, beside(lower));  // u3 + m5
  add_half<kMake>(sum, a.a22, right(b.b21, b.t2, b.t4), k);
  fetch_for_writing<kRows>(beside(upper));
  write<kAdd, kRows>(sum, bias, lower);  // u3 - m4

  copy<kRows>(u4, sum);
  add_half<false>(sum, a.s4, ready(b.b22), k);
  write<kAdd, kRows>(sum, bias + kPanel, beside(upper));  // u4 + m3
}

// s1 to s4 of one row of each half: s [4, k], whose rows are `apart` floats apart.
inline void left_sums(const float* upper, const float* lower, int64_t k, int64_t apart, float* s) {
  for (int64_t q = 0; q < k; q += kLanes) {
    const Vec a11 = load(upper + q), a12 = load(upper + k + q), a21 = load(lower + q);
    const Vec s1 = a21 + load(lower + k + q), s2 = s1 - a11;
    store(s1, s + q);
    store(s2, s + apart + q);
    store(a11 - a21, s + 2 * apart + q);
    store(a12 - s2, s + 3 * apart + q);
  }
}

// k is cut into slices of at most so many values, whose sums of quarters stay in a core's cache.
constexpr int64_t kSlice = 512;
int64_t slices(int64_t width) { return (width + kSlice - 1) / kSlice; }
// Only for AVX-512: the smaller tiles of the other sets gain nothing.
bool strassen_covers(int64_t width) {
  return kLanes == 16 && width % (slices(width) * 2 * kLanes) == 0;
}

int64_t strassen_scratch(int64_t m, int64_t width) {
  return strassen_covers(width) ? 4 * (m / 2 + kPanel) * (width / slices(width) / 2) : 0;
}

// The quarters of a's columns [at, at + 2 k). Computes their sums into s [4, m / 2, k].
inline LeftQuarters left_quarters(const Gemm& p, int64_t at, int64_t k, float* s) {
  const int64_t halves = p.m / 2, size = halves * k;
  const auto quarter = [&](int64_t row, int64_t from) {
    return HalfRows<const float>{p.a + at + row * p.lda + from, p.lda, 4 * p.lda};
  };
  const auto sums = [&](int64_t i) { return HalfRows<const float>{s + i * size, k, 2 * k}; };
  for (int64_t i = 0; i < halves; ++i)
    left_sums(quarter(0, 0).row(i), quarter(2, 0).row(i), k, size, s + i * k);
  return {.a11 = quarter(0, 0),
          .a12 = quarter(0, k),
          .a22 = quarter(2, k),
          .s1 = sums(0),
          .s2 = sums(1),
          .s3 = sums(2),
          .s4 = sums(3)};
}

// c = the product over a's columns [at, at + 2 k) plus bias, or c += that with kAdd. m is a
// multiple of four, n of two panels.
template <bool kAdd>
void strassen_slice(const Gemm& p, int64_t at, int64_t k, const float* bias, int64_t bias_step,
                    float* scratch) {
  const int64_t halves = p.m / 2, half_panel = k * kPanel;
  const LeftQuarters left = left_quarters(p, at, k, scratch);
  float* t = scratch + 4 * halves * k;
  const int64_t panel = p.width * kPanel;
  for (int64_t j = 0; j < p.n; j += 2 * kPanel) {
    const float *b = p.weight + j * p.width + at * kPanel, *beside = b + panel;
    RightQuarters right{.b11 = b,
                        .b12 = beside,
                        .b21 = b + half_panel,
                        .b22 = beside + half_panel,
                        .t1 = t,
                        .t2 = t + half_panel,
                        .t3 = t + 2 * half_panel,
                        .t4 = t + 3 * half_panel,
                        .next = b};
    // The next weights are often far away: the second tile of rows fetches the 6 k cache lines of
    // one panel, the third those of the other.
    const float* next = j + 2 * kPanel < p.n   ? b + 2 * panel
                        : at + 2 * k < p.width ? p.weight + (at + 2 * k) * kPanel
                                               : nullptr;
    const HalfRows<float> upper{p.c + j, p.ldc, 4 * p.ldc},
        lower{upper.row(0) + 2 * p.ldc, p.ldc, 4 * p.ldc};
    int64_t i = 0, tile = 0;
    const auto rows = [&]<int kRows, bool kMake>() {
      right.next = next && (tile == 1 || tile == 2) ? next + (tile - 1) * panel : b;
      ++tile;
      seven_products<kRows, kMake, kAdd>(left.from(i), right, k, bias + j * bias_step,
                                         upper.from(i), lower.from(i));
      i += kRows;
    };
    if (halves >= kTileRows)
      rows.template operator()<kTileRows, true>();
    else if (halves >= 4)
      rows.template operator()<4, true>();
    else
      rows.template operator()<2, true>();
    while (i + kTileRows <= halves) rows.template operator()<kTileRows, false>();
    while (i + 4 <= halves) rows.template operator()<4, false>();
    while (i < halves) rows.template operator()<2, false>();
  }
}

// InferenceKernels::strassen. gemm() computes the rows beyond a multiple of four and the columns
// beyond a multiple of two panels.
void strassen(const Gemm& p, float* scratch) {
  static constexpr float kNothing[2 * kPanel] = {};
  Gemm even = p;
  even.m = strassen_covers(p.width) ? p.m / 4 * 4 : 0;
  even.n = p.n / (2 * kPanel) * (2 * kPanel);
  if (even.m > 0 && even.n > 0) {
    const int64_t k = p.width / slices(p.width);
    if (p.add)
      strassen_slice<true>(even, 0, k / 2, p.bias, 1, scratch);
    else
      strassen_slice<false>(even, 0, k / 2, p.bias, 1, scratch);
    for (int64_t at = k; at < p.width; at += k)
      strassen_slice<true>(even, at, k / 2, kNothing, 0, scratch);
  } else {
    even.n = 0;
  }
  Gemm rest = p;  // columns
  rest.m = even.m;
  rest.n = p.n - even.n;
  rest.weight += even.n * p.width;
  rest.bias += even.n;
  rest.c += even.n;
  gemm(rest);
  rest = p;  // rows
  rest.m = p.m - even.m;
  rest.a += even.m * p.lda;
  rest.c += even.m * p.ldc;
  gemm(rest);
}

#undef NESTVIT_INLINE

}  // namespace
}  // namespace nestvit::kernels
