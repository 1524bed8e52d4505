// Matrix products and convolution by oneDNN, behind the three shapes that a NesT needs. No oneDNN
// type shows here. Linear and Conv3x3 belong to one thread (the engine's compute thread), on which
// oneDNN uses its OpenMP team.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace nestvit {

// y [m, n] = x [m, k] W^T + b, with W [n, k] as a state_dict holds it and b [n] or empty. The
// weight is copied into oneDNN's layout once; the first call with a new m plans that size, later
// ones allocate nothing.
class Linear {
 public:
  // `usual_m`: the m that the layout of the weight is chosen for.
  Linear(std::span<const float> weight, std::span<const float> bias, int64_t n, int64_t k,
         int64_t usual_m);
  ~Linear();
  Linear(Linear&&) noexcept;

  void operator()(const float* x, int64_t m, float* y) const;
  void accumulate(const float* x, int64_t m, float* y) const;  // y += x W^T + b

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// y [B, h, w, out] = x [B, h, w, in] convolved 3x3, stride 1, one pixel of zeros around, plus b
// [out]; the weight is [out, in, 3, 3].
class Conv3x3 {
 public:
  Conv3x3(std::span<const float> weight, std::span<const float> bias, int64_t out, int64_t in,
          int64_t h, int64_t w);
  ~Conv3x3();
  Conv3x3(Conv3x3&&) noexcept;

  void operator()(const float* x, int64_t B, float* y) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A matrix in memory: rows `stride` floats apart.
struct MatrixView {
  const float* data;
  int64_t stride;
};

// Small products on the calling thread alone, meant for the inside of a parallel loop. False: no
// memory. c [m, n] = a [m, k] b^T, with b [n, k].
bool multiply_transposed(MatrixView a, MatrixView b, int64_t m, int64_t n, int64_t k, float* c,
                         int64_t c_stride);
// c [m, n] = a [m, k] b, with b [k, n].
bool multiply(MatrixView a, MatrixView b, int64_t m, int64_t n, int64_t k, float* c,
              int64_t c_stride);

}  // namespace nestvit
