// Products of a fused layer by BLAS or by the kernels for bf16.
#include "train/fused/product.h"

#include <algorithm>

#include "kernels/dispatch.h"

// libtorch's own BLAS, which torch::mm calls; column-major, as Fortran has it.
extern "C" void sgemm_(const char* transa, const char* transb, const int* m, const int* n,
                       const int* k, const float* alpha, const float* a, const int* lda,
                       const float* b, const int* ldb, const float* beta, float* c, const int* ldc);

namespace nestvit::train {
namespace {

void multiply_f32(const Product& p) {
  // A row-major c is a column-major c^T = op(b)^T op(a)^T.
  const int rows = static_cast<int>(p.m), columns = static_cast<int>(p.n),
            depth = static_cast<int>(p.k);
  const int lda = p.a.transposed ? rows : depth, ldb = p.b.transposed ? depth : columns;
  const float one = 1, beta = p.add ? 1 : 0;
  sgemm_(p.b.transposed ? "T" : "N", p.a.transposed ? "T" : "N", &columns, &rows, &depth, &one,
         p.b.data, &ldb, p.a.data, &lda, &beta, p.c, &columns);
}

void multiply_bf16(const Product& p, float* scratch) {
  const kernels::Bf16Kernels& kernel = *kernels::bf16_kernels().front();
  auto* left = reinterpret_cast<uint32_t*>(scratch);
  kernel.pack_left(p.a, p.m, p.k, left);
  const uint32_t* right = p.packed_b;
  if (!right) {
    uint32_t* packed = left + kernels::bf16_left_size(p.m, p.k);
    kernel.pack_right(p.b, p.k, p.n, packed);
    right = packed;
  }
  kernel.gemm(left, right, p.m, p.n, p.k, p.add, p.c);
}

}  // namespace

void multiply(const Product& product, bool bf16, float* scratch) {
  if (bf16)
    multiply_bf16(product, scratch);
  else
    multiply_f32(product);
}

int64_t product_scratch(int64_t rows, int64_t widest, bool bf16) {
  if (!bf16) return 0;
  const int64_t with_weight = kernels::bf16_left_size(rows, widest);
  const int64_t over_rows =
      kernels::bf16_left_size(widest, rows) + kernels::bf16_right_size(rows, widest);
  return std::max(with_weight, over_rows);
}

}  // namespace nestvit::train
