// Drawing, planning and applying mixup and cutmix.
#include "image/augment/mix.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace nestvit {
namespace {

// Gamma(shape, 1) by Marsaglia and Tsang (2000), in double.
double draw_gamma(double shape, Rng& rng) {
  if (shape < 1) {
    const double u = 1 - rng.uniform_double();
    return draw_gamma(shape + 1, rng) * std::pow(u, 1 / shape);
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = rng.normal(), t = 1 + c * x, v = t * t * t;
    if (v <= 0) continue;
    if (std::log(1 - rng.uniform_double()) < 0.5 * x * x + d - d * v + d * std::log(v))
      return d * v;
  }
}

float draw_beta(double alpha, Rng& rng) {
  const double a = draw_gamma(alpha, rng), b = draw_gamma(alpha, rng);
  return a + b > 0 ? static_cast<float>(a / (a + b)) : 0.5f;  // both may underflow for tiny alphas
}

MixKind draw_kind(const MixSettings& s, Rng& rng) {
  const bool applies = rng.uniform() < static_cast<float>(s.prob_to_apply);
  const bool first = rng.uniform() < 1 - static_cast<float>(s.switch_prob);
  if (!applies) return MixKind::kNone;
  if (s.mixup_alpha == 0) return MixKind::kCutmix;
  if (s.cutmix_alpha == 0) return MixKind::kMixup;
  return first ? MixKind::kMixup : MixKind::kCutmix;
}

double alpha_of(const MixSettings& s, MixKind kind) {
  return kind == MixKind::kMixup ? s.mixup_alpha : s.cutmix_alpha;
}

// u^(1/alpha)/2, in float32 as the official code.
float reference_share(float u, double alpha) {
  return std::pow(u, static_cast<float>(1 / alpha)) / 2;
}

float area_share(const Box& box, int height, int width) {
  return static_cast<float>(static_cast<double>(box.height) * box.width /
                            (static_cast<double>(height) * width));
}

Box reference_box(float share, int64_t y_shift, int64_t x_shift, int height, int width) {
  const float root = std::sqrt(share);
  Box box;
  box.height = static_cast<int>(root * static_cast<float>(height));
  box.width = static_cast<int>(root * static_cast<float>(width));
  // A share of 1, which only `beta` draws, covers all.
  box.y = static_cast<int>(y_shift % std::max(height - box.height, 1));
  box.x = static_cast<int>(x_shift % std::max(width - box.width, 1));
  return box;
}

std::vector<int> reversed(int batch) {
  std::vector<int> partner(batch);
  for (int i = 0; i < batch; ++i) partner[i] = batch - 1 - i;
  return partner;
}

// timm's Mixup in mode "batch": rand_bbox about a uniform centre, clipped.
MixPlan plan_timm(const MixSettings& s, int batch, int height, int width, Rng& rng) {
  MixPlan plan{draw_kind(s, rng), s.smoothing, {}, reversed(batch), {}, false};
  if (plan.kind == MixKind::kNone) return plan;
  float own = draw_beta(alpha_of(s, plan.kind), rng);
  if (plan.kind == MixKind::kCutmix) {
    const double ratio = std::sqrt(1 - static_cast<double>(own));
    const auto span = [&](int side) {
      const int cut = static_cast<int>(side * ratio);
      const int centre = static_cast<int>(rng.below(static_cast<uint64_t>(side)));
      return std::pair{std::max(centre - cut / 2, 0), std::min(centre + (cut + 1) / 2, side)};
    };
    const auto [top, bottom] = span(height);
    const auto [left, right] = span(width);
    const Box box{top, left, bottom - top, right - left};
    plan.box.assign(batch, box);
    own = 1 - area_share(box, height, width);
  }
  plan.own.assign(batch, own);
  return plan;
}

void mix_labels(const MixPlan& plan, const MixShape& shape, std::span<float> labels) {
  smooth(labels, shape.classes, plan.smoothing);
  if (plan.kind == MixKind::kNone) return;
  const std::vector<float> before(labels.begin(), labels.end());
  const auto classes = static_cast<size_t>(shape.classes);
  for (size_t i = 0; i < plan.own.size(); ++i) {
    const float own = plan.own[i];
    const float* mine = &before[i * classes];
    const float* theirs = &before[plan.partner[i] * classes];
    for (size_t k = 0; k < classes; ++k)
      labels[i * classes + k] = own * mine[k] + (1 - own) * theirs[k];
  }
}

// One image row of one sample: `old` are the rows before.
void mix_row(const MixPlan& plan, size_t sample, int y, const float* mine, const float* theirs,
             int width, float* to) {
  if (plan.kind == MixKind::kMixup) {
    const float own = plan.own[sample], rest = 1 - own;
    for (int x = 0; x < width; ++x) to[x] = own * mine[x] + rest * theirs[x];
    return;
  }
  const Box& box = plan.box[sample];
  const bool crossed = y >= box.y && y < box.y + box.height;
  const float* inside = plan.box_keeps_own ? mine : theirs;
  const float* outside = plan.box_keeps_own ? theirs : mine;
  std::copy_n(outside, width, to);
  if (crossed) std::copy_n(inside + box.x, box.width, to + box.x);
}

}  // namespace

void check(const MixSettings& s) {
  const auto fail = [](const std::string& what, const std::string& hint) {
    throw UsageError("mix: " + what, hint);
  };
  for (const auto& [name, alpha] :
       {std::pair{"mixup_alpha", s.mixup_alpha}, {"cutmix_alpha", s.cutmix_alpha}})
    if (!(alpha >= 0 && alpha <= 1e6))
      fail(fmt::format("{} is {}", name, alpha), "give a positive number, or 0 to leave it out");
  if (!(s.prob_to_apply >= 0 && s.prob_to_apply <= 1))
    fail(fmt::format("prob_to_apply is {}", s.prob_to_apply), "give a probability, 0 to 1");
  if (!(s.switch_prob >= 0 && s.switch_prob <= 1))
    fail(fmt::format("switch_prob is {}", s.switch_prob), "give a probability, 0 to 1");
  if (!(s.smoothing >= 0 && s.smoothing < 1))
    fail(fmt::format("smoothing is {}", s.smoothing), "give 0 or more, below 1");
  if (s.mixup_alpha == 0 && s.cutmix_alpha == 0 && s.prob_to_apply > 0)
    fail("mixup_alpha and cutmix_alpha are both 0: nothing is left to mix with",
         "set one of them, or prob_to_apply to 0");
}

std::string describe(const MixSettings& s) {
  if (s.prob_to_apply == 0)
    return s.style == MixStyle::kTimm ? fmt::format("no mix, smoothing {}", s.smoothing)
                                      : "no mix, no smoothing";
  std::string text;
  if (s.mixup_alpha > 0) text = fmt::format("mixup (alpha {})", s.mixup_alpha);
  if (s.cutmix_alpha > 0)
    text += fmt::format("{}cutmix (alpha {}{})", text.empty() ? "" : " or ", s.cutmix_alpha,
                        text.empty() ? "" : fmt::format(", in {} of them", s.switch_prob));
  return text + fmt::format(" with probability {} per batch, smoothing {}{}", s.prob_to_apply,
                            s.smoothing,
                            s.style == MixStyle::kTimm ? ", in timm's way"
                            : s.prob_to_apply < 1      ? " where mixed"
                                                       : "");
}

MixDraws draw_mix(const MixSettings& s, int batch, int height, int width, Rng& rng) {
  MixDraws draws;
  draws.kind = draw_kind(s, rng);
  if (draws.kind == MixKind::kNone) return draws;
  const double alpha = alpha_of(s, draws.kind);
  for (int i = 0; i < batch; ++i) draws.u.push_back(s.beta ? draw_beta(alpha, rng) : rng.uniform());
  if (draws.kind == MixKind::kMixup) {
    draws.partner.resize(batch);
    std::iota(draws.partner.begin(), draws.partner.end(), 0);
    for (int i = batch - 1; i > 0; --i)
      std::swap(draws.partner[i], draws.partner[rng.below(static_cast<uint64_t>(i) + 1)]);
  } else {
    for (int i = 0; i < batch; ++i) {
      draws.y_shift.push_back(static_cast<int64_t>(rng.below(static_cast<uint64_t>(height))));
      draws.x_shift.push_back(static_cast<int64_t>(rng.below(static_cast<uint64_t>(width))));
    }
  }
  return draws;
}

MixPlan plan_mix(const MixSettings& s, const MixDraws& draws, int height, int width) {
  MixPlan plan;
  plan.kind = draws.kind;
  if (plan.kind == MixKind::kNone) return plan;
  plan.smoothing = s.smoothing;
  const int batch = static_cast<int>(draws.u.size());
  const bool mixup = plan.kind == MixKind::kMixup;
  plan.partner = mixup ? draws.partner : reversed(batch);
  for (int i = 0; i < batch; ++i) {
    const float share = s.beta ? draws.u[i] : reference_share(draws.u[i], alpha_of(s, plan.kind));
    if (mixup) {
      plan.own.push_back(s.beta ? share : std::max(share, 1 - share));
      continue;
    }
    plan.box.push_back(
        reference_box(share, draws.y_shift.at(i), draws.x_shift.at(i), height, width));
    plan.own.push_back(s.area_labels ? area_share(plan.box.back(), height, width) : share);
  }
  return plan;
}

MixPlan plan_mix(const MixSettings& s, int batch, int height, int width, Rng& rng) {
  return s.style == MixStyle::kTimm
             ? plan_timm(s, batch, height, width, rng)
             : plan_mix(s, draw_mix(s, batch, height, width, rng), height, width);
}

std::vector<float> one_hot(std::span<const int> labels, int classes) {
  std::vector<float> result(labels.size() * classes, 0.0f);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= classes)
      throw Error(
          fmt::format("a training image has label {}, expected 0 to {}", labels[i], classes - 1),
          "check the labels and num_classes");
    result[i * classes + labels[i]] = 1;
  }
  return result;
}

void smooth(std::span<float> labels, int classes, double smoothing) {
  if (smoothing == 0) return;
  const auto epsilon = static_cast<float>(smoothing);
  for (float& y : labels) y = y * (1 - epsilon) + epsilon / static_cast<float>(classes);
}

void apply_mix(const MixPlan& plan, const MixShape& shape, std::span<float> images,
               std::span<float> labels) {
  const auto batch = static_cast<size_t>(shape.batch), width = static_cast<size_t>(shape.width);
  const size_t rows = static_cast<size_t>(shape.channels) * shape.height, sample = rows * width;
  NESTVIT_CHECK(images.size() == batch * sample && labels.size() == batch * shape.classes);
  NESTVIT_CHECK(plan.kind == MixKind::kNone || plan.own.size() == batch);
  mix_labels(plan, shape, labels);
  if (plan.kind == MixKind::kNone) return;
  // Row by row over all samples, so that partners are read as they were: a scratch of B rows.
  std::vector<float> old(batch * width);
  for (size_t row = 0; row < rows; ++row) {
    const int y = static_cast<int>(row % shape.height);
    for (size_t b = 0; b < batch; ++b)
      std::copy_n(&images[b * sample + row * width], width, &old[b * width]);
    for (size_t b = 0; b < batch; ++b)
      mix_row(plan, b, y, &old[b * width], &old[plan.partner[b] * width], shape.width,
              &images[b * sample + row * width]);
  }
}

std::vector<float> mix(Batch& batch, int classes, const MixSettings& settings, Rng& rng) {
  std::vector<float> labels = one_hot(batch.labels, classes);
  const MixPlan plan = plan_mix(settings, batch.size, batch.height, batch.width, rng);
  apply_mix(plan, {batch.size, batch.channels, batch.height, batch.width, classes}, batch.images,
            labels);
  return labels;
}

}  // namespace nestvit
