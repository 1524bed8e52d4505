#!/usr/bin/env python3
"""Fits the normal distribution function of src/core/kernels/impl/math.h: Phi(x) - 1/2 = x P(x^2) / Q(x^2) for |x| <= 5.4; and for values that
are then rounded to bf16 or 8 bits x P(x^2) for |x| <= 4, also of GELU's tanh form, so that |x| times the error is small. Least squares
reweighted towards the smallest largest error. Prints the coefficients, lowest first, and the largest error. Needs numpy and scipy."""
import numpy
from numpy.polynomial.polynomial import polyval
from scipy.special import erf


def by_erf(x):
    return erf(x / numpy.sqrt(2)) / 2


def by_tanh(x):
    return numpy.tanh(numpy.sqrt(2 / numpy.pi) * (x + 0.044715 * x**3)) / 2


def fit(wanted, limit, upper, lower, importance):
    """Coefficients of P and Q, of degrees `upper` and `lower`, and the largest error times importance(x)."""
    x = limit / 2 * (1 + numpy.cos(numpy.linspace(0, numpy.pi, 4001)))
    x = x[x > 1e-3]
    target, scaled, important = wanted(x), (x / limit) ** 2, importance(x)
    weight, denominator, best = numpy.ones_like(x), numpy.ones_like(x), None
    for _ in range(100):
        columns = numpy.concatenate([x[:, None] * scaled[:, None] ** numpy.arange(upper + 1),
                                     -target[:, None] * scaled[:, None] ** numpy.arange(1, lower + 1)], axis=1)
        factor = numpy.sqrt(weight) * important / denominator
        solution = numpy.linalg.lstsq(columns * factor[:, None], target * factor, rcond=None)[0]
        p, q = solution[:upper + 1], numpy.r_[1, solution[upper + 1:]]
        denominator = polyval(scaled, q)
        error = abs(target - x * polyval(scaled, p) / denominator) * important
        if best is None or error.max() < best[2]:
            best = p / limit ** (2.0 * numpy.arange(upper + 1)), q / limit ** (2.0 * numpy.arange(lower + 1)), error.max()
        weight = numpy.maximum(weight * (0.5 + error / error.max() / 2), 1e-6)
        weight /= weight.max()
    return best


def show(name, coefficients):
    print(name, ", ".join(f"{c:.8e}f" for c in coefficients))


p, q, error = fit(by_erf, 5.4, 6, 4, numpy.ones_like)
show("P", p)
show("Q", q)
print(f"largest error {error:.1e}")
for form in (by_erf, by_tanh):
    p, _, error = fit(form, 4, 7, 0, lambda x: numpy.maximum(x, 0.3))
    show(f"short, {form.__name__}: P", p)
    print(f"largest error of gelu {error:.1e}, beyond {4 * (0.5 - form(numpy.float64(4))):.1e}")
