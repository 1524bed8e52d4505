// The running average of the weights in training, timm's ModelEmaV3.
#pragma once

#include <cstdint>

#include "train/torch.h"

namespace nestvit::train {

struct EmaConfig {
  double decay = 0.9998;
  // The decay grows with the steps, 1 - (1 + t)^(-2/3), until it reaches `decay`, so that the first
  // weights do not dominate the average for thousands of steps.
  bool warmup = false;
};

// The decay of the update after optimiser step `step` (from 1): 0 after the first, which copies.
double ema_decay(const EmaConfig& config, int64_t step);

// averaged <- decay * averaged + (1 - decay) * net: parameters and buffers of two equal modules.
void ema_update(torch::nn::Module& averaged, const torch::nn::Module& net, double decay);

}  // namespace nestvit::train
