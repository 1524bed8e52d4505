// The loops of a forward that are compiled once, for every processor: those that take too little of
// its time to be worth a copy for each instruction set. Each call works on one thread; the caller
// splits rows over threads.
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

// y[r, c] = x[r, c] * scale[c] + shift[c]: batch norm with its running statistics folded. In place
// allowed.
void channel_affine(const float* x, int64_t rows, int64_t C, const float* scale, const float* shift,
                    float* y);

// Group norm of ONE sample: the statistics of a group of neighbouring channels go over all rows
// jointly. `channels` may be some of the groups of wider rows.
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

// y[i] += x[i].
void add(const float* x, int64_t count, float* y);

// y[c] = mean over r of x[r, c].
void mean_rows(const float* x, int64_t rows, int64_t C, float* y);

// The padding that TensorFlow's SAME puts before the first row of a 3x3 stride-2 max-pool, whose
// output has ceil(size / 2) rows: half of what the output needs in all, 0 for even sizes.
int64_t same_padding(int64_t size);

// A plane of tokens is a grid x grid arrangement of blocks of edge x edge tokens. Block t lies at
// row t / grid and column t % grid of the grid, token n at row n / edge and column n % edge of its
// block.
//
// Block t of the tokens of an image [channels, S, S] with S = grid * edge * patch: each token is
// its patch x patch pixels -> y [edge*edge, channels * patch * patch], in the order of a
// convolution's weight.
void patchify(const float* image, int64_t channels, int64_t patch, int64_t grid, int64_t edge,
              int64_t t, float* y);

// The inverse: y [edge*edge, channels * patch * patch] into the pixels of block t.
void unpatchify(const float* y, int64_t channels, int64_t patch, int64_t grid, int64_t edge,
                int64_t t, float* image);

// ---- backward to the input: what the kernels of training do not have ----

// Layer norm whose deviation counts as a constant: with g = dy * gamma, d[r] += (g - mean(g)) /
// sqrt(variance(x[r]) + eps).
void centred_backward(const float* x, const float* dy, int64_t rows, int64_t C, const float* gamma,
                      float eps, float* d);

// Batch norm: d[r, c] += dy[r, c] * scale[c].
void add_scaled(const float* dy, int64_t rows, int64_t C, const float* scale, float* d);

// The backward of group norm, of ONE sample, as an affine map of dy and x:
//   d[r, c] += scale[c] * dy[r, c] + slope[c] * (x[r, c] - mean[c]) + shift[c].
// `constant_deviation`: as in centred_backward(); slope is 0 then. `scratch` has room for
// 4 * channels doubles. The four results lie `apart` floats from each other.
void group_backward(const GroupNorm& norm, const float* dy, bool constant_deviation,
                    double* scratch, float* affine, int64_t apart);
void add_group_backward(const float* x, const float* dy, int64_t rows, int64_t C,
                        const float* affine, int64_t apart, float* d);

// Where InferenceKernels::max_pool finds its results: chosen[i, c] = 3 * row + column of the pixel
// in its window, the first of equal ones. Padding is never chosen.
void max_pool_choice(const float* map, int64_t size, int64_t C, int64_t pad, int64_t oy, int64_t ox,
                     int64_t count, uint8_t* chosen);
// Adds dy [count, C], the gradients of such results, to those of their pixels that lie in row `row`
// of the windows: d [size, C] is that row of the plane.
void max_pool_backward(const float* dy, const uint8_t* chosen, int64_t size, int64_t C, int64_t pad,
                       int64_t ox, int64_t count, int row, float* d);

}  // namespace nestvit::kernels
