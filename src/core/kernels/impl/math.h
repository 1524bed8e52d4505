// e^x and the normal distribution function in a few vector instructions each.
#pragma once

#include <cstdint>

namespace nestvit::kernels {
namespace {

// e^x within 2 units in the last place. std::exp would be a call per element. Below -87, where
// results would soon be denormal, the result is e^-87.
inline float exp_poly(float x) {
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  // Adding 1.5 * 2^23 rounds x / ln 2 to the integer n and leaves n in the low bits.
  const float rounded = x * 1.44269504f + 12582912.0f;
  const float n = rounded - 12582912.0f;
  // ln 2 in two parts; the first has so few bits that its product with n is exact (Cody and Waite).
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  // Cephes expf: minimax on [-ln 2 / 2, ln 2 / 2].
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float value = (p * (r * r) + r) + 1.0f;
  return value * __builtin_bit_cast(float, (__builtin_bit_cast(uint32_t, rounded) + 127u) << 23);
}

// The normal distribution function to 2e-7. Below -5.4, where it is under 4e-8, the result is 0.
// Coefficients from tools/fit_phi.py.
inline float phi_poly(float x) {
  const float near = x > 5.4f ? 5.4f : x < -5.4f ? -5.4f : x, s = near * near;
  float p = 1.16104294e-10f * s - 2.22570147e-08f;
  p = p * s + 3.13339434e-06f;
  p = p * s + 1.58955639e-04f;
  p = p * s + 4.43501895e-03f;
  p = p * s + 3.47848588e-02f;
  p = p * s + 3.98942179e-01f;
  float q = 5.86754175e-05f * s + 1.76357879e-03f;
  q = q * s + 2.84298594e-02f;
  q = q * s + 2.53857665e-01f;
  q = q * s + 1.0f;
  return x < -5.4f ? 0.0f : 0.5f + near * p / q;
}

// The same for GELU values that are rounded to bf16 or 8 bits next, exact or in the tanh form. For
// |x| <= 4, |x| times the error is below 1.7e-4; above 4 it is below 4.3e-5 |x|. Below -4 the
// result is 0. Coefficients from tools/fit_phi.py.
constexpr float kApproxByErf[8] = {3.98673388e-01f,  -6.58878313e-02f, 9.50539106e-03f,
                                   -1.00648835e-03f, 7.48547405e-05f,  -3.65710826e-06f,
                                   1.04195028e-07f,  -1.30127758e-09f};
constexpr float kApproxByTanh[8] = {3.98616974e-01f,  -6.60983944e-02f, 9.65432195e-03f,
                                    -1.04332160e-03f, 7.94254844e-05f,  -3.96604373e-06f,
                                    1.15091565e-07f,  -1.45866507e-09f};
inline float phi_approx(float x, const float (&c)[8]) {
  const float near = x > 4.0f ? 4.0f : x < -4.0f ? -4.0f : x, s = near * near;
  float p = c[7];
#pragma GCC unroll 7
  for (int i = 6; i >= 0; --i) p = p * s + c[i];
  return x < -4.0f ? 0.0f : 0.5f + near * p;
}

}  // namespace
}  // namespace nestvit::kernels
