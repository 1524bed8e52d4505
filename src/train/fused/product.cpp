// Products of a fused layer; see fused_product.h.
#include "train/fused/product.h"

#include <algorithm>

#include "kernels/dispatch.h"

// libtorch's own BLAS, which torch::mm calls; column-major, as Fortran has it.
extern "C" void sgemm_(const char* transa, const char* transb, const int* m, const int* n,
                       const int* k, const float* alpha, const float* a, const int* lda,
                       const float* b, const int* ldb, const float* beta, float* c, const int* ldc);

namespace nestvit::train {
namespace {

void f32_product(Operand a, Operand b, const ProductSize& size, const Destination& result) {
  // Row-major c is column-major c^T = op(b)^T op(a)^T.
  const int rows = static_cast<int>(size.m), cols = static_cast<int>(size.n),
            depth = static_cast<int>(size.k);
  const int lda = a.transposed ? rows : depth, ldb = b.transposed ? depth : cols;
  const float one = 1, beta = result.add ? 1 : 0;
  sgemm_(b.transposed ? "T" : "N", a.transposed ? "T" : "N", &cols, &rows, &depth, &one, b.data,
         &ldb, a.data, &lda, &beta, result.c, &cols);
}

}  // namespace

void Products::operator()(Operand a, const RightOperand& b, const ProductSize& s,
                          const Destination& result, float* scratch) const {
  if (!bf16_) return f32_product(a, b.operand, s, result);
  const kernels::Bf16Kernels& kernel = *kernels::bf16_kernels().front();
  auto* left = reinterpret_cast<uint32_t*>(scratch);
  kernel.pack_left(a, s.m, s.k, left);
  const uint32_t* right = b.packed;
  if (!right) {
    uint32_t* packed = left + kernels::bf16_left_size(s.m, s.k);
    kernel.pack_right(b.operand, s.k, s.n, packed);
    right = packed;
  }
  kernel.gemm(left, right, s.m, s.n, s.k, result.add, result.c);
}

int64_t Products::scratch(int64_t rows, int64_t wide) const {
  if (!bf16_) return 0;
  // Of tokens with a weight, or of two arrays of tokens, whose rows are summed over.
  return std::max(kernels::bf16_left_size(rows, wide),
                  kernels::bf16_left_size(wide, rows) + kernels::bf16_right_size(rows, wide));
}

}  // namespace nestvit::train
