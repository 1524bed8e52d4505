// How alike two maps are.
#pragma once

#include <span>

namespace nestvit {

// Spearman's rank correlation, equal values at their mean rank; NaN where one of them is constant.
// a and b have one size.
double spearman(std::span<const double> a, std::span<const double> b);

// The structural similarity of two pictures [side, side] (Wang et al. 2004): the mean over all
// whole windows of 7 x 7 (smaller pictures: of the largest odd edge), K1 0.01, K2 0.03, sample
// variances; the range is that of both together. 1 where both are one constant.
double structural_similarity(std::span<const double> a, std::span<const double> b, int side);

}  // namespace nestvit
