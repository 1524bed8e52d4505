// A training step on synthetic data, for the programs that time it or hold one path's gradients
// against another's.
#pragma once

#include <string>
#include <vector>

#include "train/network/nest.h"
#include "train/optim/amp.h"

namespace nestvit::bench {

struct Data {
  torch::Tensor images;   // [B, channels, S, S]
  torch::Tensor targets;  // [B, K], soft
  Data on(const torch::Device& device) const { return {images.to(device), targets.to(device)}; }
};

Data synthetic(const NestConfig& config, int64_t batch);

// The variant, with timm's attention, GELU and padding when `as_timm`. Throws as variant() does.
NestConfig config_of(const std::string& model, bool as_timm);
// In train() mode, with initial weights.
train::Nest net_of(const NestConfig& config);

// Of images [B, channels, S, S]; [B, K] in `type`.
torch::Tensor logits_of(train::Nest& net, const torch::Tensor& images, Amp amp,
                        torch::ScalarType type);
torch::Tensor loss_of(train::Nest& net, const Data& data, Amp amp);

struct Gradients {
  double loss;
  std::vector<torch::Tensor> values;  // on the CPU
};

// With the drop-path of seed 2.
Gradients gradients(train::Nest& net, const Data& data, Amp amp);

// The larger; NaN when one of them is, which std::max drops or keeps by their order.
double worse(double a, double b);

// The largest difference of a gradient, over the largest entry of what it should be; or of the
// loss. NaN when something is.
double difference(const Gradients& got, const Gradients& want);

// Seconds of each of `steps` training steps (forward, loss, backward, AdamW), after `warm_up` more.
std::vector<double> time_steps(train::Nest& net, const Data& data, Amp amp, int warm_up, int steps);

}  // namespace nestvit::bench
