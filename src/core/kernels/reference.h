// The loops between the matrix products, in plain C++ that the compiler vectorises. They are the
// scalar reference that faster kernels are tested against. Each call works on one thread; the
// caller splits rows over threads.
//
// All arrays are f32, row-major and densely packed; C is the number of channels of a row. Unless a
// contract says "in place", input and output must not overlap.
#pragma once

#include <cstdint>

namespace nestvit::kernels {

// Denormals read as 0 and are written as 0, in the calling thread, from now on: one buffer of
// denormals makes the kernels several times slower. Threads that this thread starts inherit it.
// No-op where the CPU has no such switch.
void flush_denormals();

// y[r, c] = (x[r, c] - mean_r) / sqrt(var_r + eps) * gamma[c] + beta[c], with mean and biased
// variance of row r, computed in two passes. In place allowed (y == x).
void layer_norm(const float* x, int64_t rows, int64_t C, const float* gamma, const float* beta,
                float eps, float* y);

// y[r, c] = x[r, c] * scale[c] + shift[c]: batch norm with its running statistics folded. In place
// allowed.
void channel_affine(const float* x, int64_t rows, int64_t C, const float* scale, const float* shift,
                    float* y);

// Group norm of ONE sample: x is [rows, C], the statistics of a group of C / groups neighbouring
// channels go over all rows jointly. `groups` divides C. `scratch` has room for 2 C doubles. In
// place allowed.
void group_norm(const float* x, int64_t rows, int64_t C, int64_t groups, const float* gamma,
                const float* beta, float eps, double* scratch, float* y);

// The same of some of the groups.
struct GroupNorm {
  const float* x;  // [rows, channels], rows `ld` floats apart
  int64_t rows, ld;
  int64_t channels, width;    // `width` to a group, which divides the channels
  const float *gamma, *beta;  // [channels]
  float eps;
};
// The norm as an affine map of each channel, for channel_affine(). `scratch` has room for
// 2 * channels doubles.
void group_affine(const GroupNorm& norm, double* scratch, float* scale, float* shift);

// In place: x[r, :] = softmax(scale * x[r, :]) for scale > 0. cols >= 1.
void softmax(float* x, int64_t rows, int64_t cols, float scale);

// In place: GELU by its tanh form, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), as the paper's
// code computes it.
void gelu_tanh(float* x, int64_t count);

// In place: GELU exactly, 0.5 x (1 + erf(x / sqrt(2))), as timm computes it.
void gelu_erf(float* x, int64_t count);

// y[i] += x[i].
void add(const float* x, int64_t count, float* y);

// y[c] = mean over r of x[r, c].
void mean_rows(const float* x, int64_t rows, int64_t C, float* y);

// Rows of output of the 3x3 stride-2 max-pool: ceil(size / 2), whichever padding.
int64_t pooled_size(int64_t size);
// What TensorFlow's SAME puts before the first row: total / 2 of the padding that the output needs,
// 0 for even sizes.
int64_t same_padding(int64_t size);
// One row of a 3x3 stride-2 max-pool. map is [h, w, C]; the window of output (oy, ox) starts at
// (2 oy - pad_y, 2 ox - pad_x); what lies outside counts as -infinity. y is [pooled_size(w), C].
void max_pool_row(const float* map, int64_t h, int64_t w, int64_t C, int64_t pad_y, int64_t pad_x,
                  int64_t oy, float* y);

// A plane of tokens is a grid x grid arrangement of blocks of edge x edge tokens. Block t lies at
// row t / grid and column t % grid of the grid, token n at row n / edge and column n % edge of its
// block.
//
// Block t of a plane: map [grid*edge, grid*edge, C] -> y [edge*edge, C].
void blockify(const float* map, int64_t grid, int64_t edge, int64_t C, int64_t t, float* y);
// The inverse: x [edge*edge, C] -> its place in map.
void unblockify(const float* x, int64_t grid, int64_t edge, int64_t C, int64_t t, float* map);
// Block t of the tokens of an image [channels, S, S] with S = grid * edge * patch: each token is
// its patch x patch pixels -> y [edge*edge, channels * patch * patch], in the order of a
// convolution's weight.
void patchify(const float* image, int64_t channels, int64_t patch, int64_t grid, int64_t edge,
              int64_t t, float* y);

}  // namespace nestvit::kernels
