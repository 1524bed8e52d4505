// The reference's convolutional baselines: ResNet V1 as in its models/resnet_v1.py (flax), under
// timm's tensor names. Data only; src/train/network/resnet.cpp is the forward. reference.md H.
//
// Not timm's ResNets: the padding is SAME, so strided layers pad (0, 1) or (2, 3), and the ImageNet
// stem has no ReLU.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/params.h"

namespace nestvit {

// kBasic: 3x3, 3x3. kBottleneck: 1x1, 3x3, 1x1 to four times the width.
enum class ResNetBlock { kBasic, kBottleneck };

struct ResNetConfig {
  std::string variant = "resnet18_cifar";
  int image_size = 32;
  int in_channels = 3;
  int num_classes = 10;
  ResNetBlock block = ResNetBlock::kBasic;
  std::vector<int> depths = {2, 2, 2, 2};  // blocks per stage, image side first
  // 3x3 convolution and ReLU; otherwise 7x7 of stride 2 without ReLU, and a 3x3 max-pool of
  // stride 2.
  bool small_stem = true;
  // The last norm of a block starts with scale 0, so that the block starts as its shortcut.
  bool zero_init_last = true;

  bool operator==(const ResNetConfig&) const = default;
};

struct ResNetStage {
  int index;   // 0 at the image side
  int blocks;  // residual blocks
  int stride;  // of the first block's 3x3 convolution (the first of two) and shortcut
  int in;      // channels that come in
  int width;   // channels of the 3x3 convolutions
  int out;     // channels that go out
  int map_in;  // pixels per side that come in
  int map;     // pixels per side that go out
  // Whether block `k` has a convolution and norm in its shortcut.
  bool projects(int k) const { return k == 0 && (stride != 1 || in != out); }
};

// Channels of the stem.
inline constexpr int kResNetStem = 64;

// Throws UsageError for sizes that no image has.
std::vector<ResNetStage> stages(const ResNetConfig& config);

// In timm's state_dict order; Param::level is the stage, -1 the stem, 4 the head.
std::vector<Param> parameter_table(const ResNetConfig& config);

// resnet18, resnet50, resnet18_cifar
const std::vector<std::string>& resnet_names();
bool is_resnet(const std::string& name);
ResNetConfig resnet(const std::string& name);  // `name`: one of resnet_names()

// Of one image; borders counted in full.
int64_t multiply_accumulates(const ResNetConfig& config);

}  // namespace nestvit
