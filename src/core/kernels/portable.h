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

}  // namespace nestvit::kernels
