// Attention inside a block in tiles that stay in registers, for two types of operand: f32
// (attention_f32.h) and pairs of bf16 (attention_bf16.h).
//
// A `Type` has:
//   Word                         the unit of one multiplication: a float, or a pair of bf16
//   words(n)                     the number of words that hold n values
//   add(sum, left, right)        sum + left * right, where `right` points to a register of words
//   queries(q, shape, rows, query_buffer)
//                                q [rows, D] as rows of words, in place or in `query_buffer`
//   keys(k, shape, np, to)       k [N, D] -> its transpose: words(D) rows of np words, zero-padded
//   values(v, shape, dp, to)     v [N, D] -> words(N) rows of dp words, zero-padded
//   exp_weights(x, np, factor, max)
//                                np scores x -> words of 2^(factor (x - max)); returns their sum
#pragma once

#include "kernels/impl/simd.h"
#include "kernels/inference.h"

namespace nestvit::kernels {
namespace {

constexpr float kNoScore = -1e30f;  // the score of the padding beyond a block's tokens

template <class Word>
struct Rows {
  const Word* data;
  int64_t ld;
};

// sum[i][j] += row i of left times register j of right's rows, over `count` words.
template <class Type, int kRows, int kVecs>
inline void add_products(Rows<typename Type::Word> left, Rows<typename Type::Word> right,
                         int64_t count, Vec (&sum)[kRows][kVecs]) {
  for (int64_t p = 0; p < count; ++p)
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 3
      for (int j = 0; j < kVecs; ++j)
        sum[i][j] = Type::add(sum[i][j], left.data[i * left.ld + p],
                              right.data + p * right.ld + j * kLanes);
}

// Calls body.operator()<rows, registers>(row, column) for tiles that cover [rows, columns]. Columns
// are whole registers. The last four are two tiles of two: faster than three and one.
template <class Body>
inline void each_tile(int64_t rows, int64_t columns, const Body& body) {
  for (int64_t j = 0; j < columns;) {
    const int64_t left = (columns - j) / kLanes, vecs = left == 4 ? 2 : left < 3 ? left : 3;
    if (vecs == 3)
      each_row_tile<3>(rows, j, body);
    else if (vecs == 2)
      each_row_tile<2>(rows, j, body);
    else
      each_row_tile<1>(rows, j, body);
    j += vecs * kLanes;
  }
}

// The scratch of one head. Columns beyond N or D up to the next multiple of kLanes are padding.
template <class Type>
struct Work {
  using Word = typename Type::Word;
  int64_t D, np, dp;
  int64_t key_words, value_words;
  float* scores;              // [kQueryRows, np], replaced by the weights
  float* start;               // [np], the first summand of a score: 0, or kNoScore in the padding
  Word* keys;                 // [key_words, np]
  Word* values;               // [value_words, dp]
  Word* query_buffer;         // [rows, words of a query], where the type copies queries
  Vec row_max[kQueryRows];    // of each row: one of its lanes is the largest score
  float inverse[kQueryRows];  // 1 / the sum of a row's weights

  Work(const AttentionShape& s, float* memory)
      : D(s.head_dim),
        np(padded(s.tokens)),
        dp(padded(D)),
        key_words(Type::words(D)),
        value_words(Type::words(s.tokens)),
        scores(memory),
        start(scores + kQueryRows * np),
        keys(reinterpret_cast<Word*>(start + np)),
        values(keys + key_words * np),
        query_buffer(values + value_words * dp) {
    for (int64_t n = 0; n < np; ++n) start[n] = n < s.tokens ? 0 : kNoScore;
  }
};

// Computes scores [rows, np] = q k^T and row_max.
template <class Type>
inline void score(Work<Type>& w, Rows<typename Type::Word> q, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) w.row_max[i] = Vec{} + kNoScore;
  each_tile(rows, w.np, [&]<int kRows, int kVecs>(int64_t r, int64_t c) {
    Vec sum[kRows][kVecs];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 3
      for (int j = 0; j < kVecs; ++j) sum[i][j] = load(w.start + c + j * kLanes);
    add_products<Type>({q.data + r * q.ld, q.ld}, {w.keys + c, w.np}, w.key_words, sum);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      Vec max = w.row_max[r + i];
#pragma GCC unroll 3
      for (int j = 0; j < kVecs; ++j) {
        max = larger(sum[i][j], max);
        store(sum[i][j], w.scores + (r + i) * w.np + c + j * kLanes);
      }
      w.row_max[r + i] = max;
    }
  });
}

inline void store_first(const Vec& v, int64_t count, float* to) {
  if (count >= kLanes) return store(v, to);
  float whole[kLanes];
  store(v, whole);
  for (int64_t j = 0; j < count; ++j) to[j] = whole[j];
}

// out [rows, D] = inverse[row] * (weights v)
template <class Type>
inline void weighted_sum(const Work<Type>& w, int64_t rows, float* out, int64_t ld_out) {
  const auto* weights = reinterpret_cast<const typename Type::Word*>(w.scores);
  each_tile(rows, w.dp, [&]<int kRows, int kVecs>(int64_t r, int64_t c) {
    Vec sum[kRows][kVecs] = {};
    add_products<Type>({weights + r * w.np, w.np}, {w.values + c, w.dp}, w.value_words, sum);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 3
      for (int j = 0; j < kVecs; ++j)
        store_first(w.inverse[r + i] * sum[i][j], w.D - c - j * kLanes,
                    out + (r + i) * ld_out + c + j * kLanes);
  });
}

// Fetches the next head's keys and values while query i is computed, 1 / queries of them: another
// core may hold them, and their rows are too far apart for the processor's prefetcher.
inline void fetch_share(const AttentionShape& s, const float* k, const float* v, int64_t i,
                        int64_t queries) {
  for (int64_t n = i * s.tokens / queries; n < (i + 1) * s.tokens / queries; ++n)
    for (int64_t d = 0; d < s.head_dim; d += 16) {
      __builtin_prefetch(k + n * s.ld + d);
      __builtin_prefetch(v + n * s.ld + d);
    }
}

// InferenceKernels::attend and Bf16Kernels::attend. A query's result does not depend on the others.
template <class Type>
void attend_in(const AttentionShape& s, const float* q, int64_t queries, const float* k,
               const float* v, float* out, float* scratch) {
  Work<Type> w(s, scratch);
  const float factor = 1.44269504f * inverse_sqrt(static_cast<float>(w.D));
  for (int64_t h = 0; h < s.heads; ++h, q += w.D, out += w.D) {
    if (h < s.kv_heads) {
      Type::keys(k, s, w.np, w.keys);
      Type::values(v, s, w.dp, w.values);
      k += w.D, v += w.D;  // the next head's
    }
    for (int64_t r = 0; r < queries; r += kQueryRows) {
      const int64_t rows = queries - r < kQueryRows ? queries - r : kQueryRows;
      score(w, Type::queries(q + r * s.ld, s, rows, w.query_buffer), rows);
      for (int64_t i = 0; i < rows; ++i) {
        const float max = largest_of(w.row_max[i]);
        w.inverse[i] = 1.0f / Type::exp_weights(w.scores + i * w.np, w.np, factor, max);
        if (h + 1 < s.kv_heads) fetch_share(s, k, v, r + i, queries);
      }
      weighted_sum(w, rows, out + r * s.ld_out, s.ld_out);
    }
  }
}

}  // namespace
}  // namespace nestvit::kernels
