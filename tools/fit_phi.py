#!/usr/bin/env python3
"""Fits the normal distribution function of src/core/kernels/elementary.h: Phi(x) - 1/2 = x P(x^2) / Q(x^2) for |x| <= 5.4, least squares
reweighted towards the smallest largest error. Prints the coefficients, lowest first, and the largest error. Needs numpy and scipy."""
import numpy
from numpy.polynomial.polynomial import polyval
from scipy.special import erf

LIMIT, UPPER, LOWER = 5.4, 6, 4  # degrees of P and Q

x = LIMIT / 2 * (1 + numpy.cos(numpy.linspace(0, numpy.pi, 4001)))
x = x[x > 1e-3]
wanted, scaled = erf(x / numpy.sqrt(2)) / 2, (x / LIMIT) ** 2
weight, denominator, best = numpy.ones_like(x), numpy.ones_like(x), None
for _ in range(100):
    columns = numpy.concatenate([x[:, None] * scaled[:, None] ** numpy.arange(UPPER + 1),
                                 -wanted[:, None] * scaled[:, None] ** numpy.arange(1, LOWER + 1)], axis=1)
    factor = numpy.sqrt(weight) / denominator
    solution = numpy.linalg.lstsq(columns * factor[:, None], wanted * factor, rcond=None)[0]
    p, q = solution[:UPPER + 1], numpy.r_[1, solution[UPPER + 1:]]
    denominator = polyval(scaled, q)
    error = abs(wanted - x * polyval(scaled, p) / denominator)
    if best is None or error.max() < best[0]:
        best = error.max(), p / LIMIT ** (2.0 * numpy.arange(UPPER + 1)), q / LIMIT ** (2.0 * numpy.arange(LOWER + 1))
    weight = numpy.maximum(weight * (0.5 + error / error.max() / 2), 1e-6)
    weight /= weight.max()

print("P", ", ".join(f"{c:.8e}f" for c in best[1]))
print("Q", ", ".join(f"{c:.8e}f" for c in best[2]))
print(f"largest error {best[0]:.1e}")
