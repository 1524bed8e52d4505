// Adam's three kernels against each other, on the CPU, which has all of them. Gradients are drawn:
// those of a network would feed one step's rounding to the next.
#include "train/optim/adam.h"

#include <gtest/gtest.h>

#include <limits>

#include "support/near_tensors.h"

namespace nestvit::train {
namespace {

using testing::expect_near;
using torch::Tensor;

constexpr int kSteps = 12;
// Up to 16 operations a step, each rounding by half an epsilon of what it makes; PyTorch's kernel
// is given rate and epsilon with two roundings more.
constexpr double kOperations = kSteps * 18 * 0.5;
constexpr double kRounding = kOperations * std::numeric_limits<float>::epsilon();
constexpr double kRounding64 = kOperations * std::numeric_limits<double>::epsilon();

struct Trained {
  std::vector<Tensor> values, first, second;  // f64
};

// Tensors as a network has them, two shares of the learning rate, each with and without decay, and
// a learning rate that begins at 0.
Trained train_by(AdamKernel kernel, torch::ScalarType type, bool decay = true) {
  torch::manual_seed(1);
  std::vector<AdamParameter> parameters;
  const auto wide = torch::dtype(torch::kFloat64);
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{40, 30}, {40}, {8, 1, 3, 3}, {1}, {33000}, {7, 5}}) {
    const Tensor value = torch::randn(shape, wide).to(type);
    parameters.push_back(
        {value, Tensor(), torch::zeros_like(value), torch::zeros_like(value), 0, 0});
  }
  for (int step = 1; step <= kSteps; ++step) {
    const double rate = 0.01 * (step - 1) / kSteps;
    for (size_t i = 0; i < parameters.size(); ++i) {
      AdamParameter& p = parameters[i];
      // Small ones too: epsilon counts there.
      p.gradient = (torch::randn(p.value.sizes(), wide) * (i % 3 == 2 ? 1e-6 : 1)).to(type);
      p.rate = rate * (i < 3 ? 1 : 0.75);
      p.decay = decay && i % 2 == 0 ? p.rate * 0.1 : 0;
    }
    const double beta1 = 0.9, beta2 = 0.999;
    adam_update(kernel,
                {beta1, beta2, 1e-8, adam_correction(beta1, step), adam_correction(beta2, step)},
                step, parameters);
  }
  Trained trained;
  for (const AdamParameter& p : parameters) {
    trained.values.push_back(p.value.to(torch::kFloat64));
    trained.first.push_back(p.first.to(torch::kFloat64));
    trained.second.push_back(p.second.to(torch::kFloat64));
  }
  return trained;
}

void expect_same(const Trained& got, const Trained& want, double tolerance) {
  for (size_t i = 0; i < want.values.size(); ++i) {
    const std::string which = " of tensor " + std::to_string(i);
    expect_near(got.values[i], want.values[i], tolerance, "value" + which);
    expect_near(got.first[i], want.first[i], tolerance, "first moment" + which);
    expect_near(got.second[i], want.second[i], tolerance, "second moment" + which);
  }
}

TEST(Adam, PyTorchsKernelEqualsOurs) {
  const Trained exact = train_by(AdamKernel::kPlain, torch::kFloat64);
  const Trained ours = train_by(AdamKernel::kOnePass, torch::kFloat32);
  const Trained fused = train_by(AdamKernel::kFused, torch::kFloat32);
  expect_same(ours, exact, kRounding);
  expect_same(fused, exact, kRounding);
  expect_same(fused, ours, 2 * kRounding);
}

// The kernel's own correction of the second moment is 1e-5 from the reference's: in f64 that shows.
TEST(Adam, PyTorchsKernelCorrectsAsTheReference) {
  for (const bool decay : {true, false})
    expect_same(train_by(AdamKernel::kFused, torch::kFloat64, decay),
                train_by(AdamKernel::kPlain, torch::kFloat64, decay), kRounding64);
}

AdamParameter parameter_like(const Tensor& gradient) {
  const Tensor value = torch::ones(gradient.sizes(), gradient.options());
  return {value, gradient, torch::zeros_like(value), torch::zeros_like(value), 0.1, 0};
}

TEST(Adam, TakesTheKernelThatCoversTheTensors) {
  const Tensor x = torch::ones({3, 2});
  EXPECT_EQ(adam_kernel({parameter_like(x)}), AdamKernel::kOnePass);
  EXPECT_EQ(adam_kernel({parameter_like(x.to(torch::kFloat64))}), AdamKernel::kPlain);
  EXPECT_EQ(adam_kernel({parameter_like(x), parameter_like(x.t())}), AdamKernel::kPlain);
}

TEST(Adam, PyTorchsKernelTakesGradientsOfOtherStrides) {
  const Tensor gradient = torch::randn({2, 3}).t();
  const AdamParameter turned = parameter_like(gradient),
                      plain = parameter_like(gradient.contiguous());
  for (const AdamParameter& p : {turned, plain})
    adam_update(AdamKernel::kFused,
                {0.9, 0.999, 1e-8, adam_correction(0.9, 1), adam_correction(0.999, 1)}, 1, {p});
  EXPECT_TRUE(torch::equal(turned.value, plain.value));
  EXPECT_FALSE(torch::equal(turned.value, torch::ones({3, 2})));
}

}  // namespace
}  // namespace nestvit::train
