// A network found whatever its tensors' names begin with, and what is said where that is not clear.
#include "weights/files/wrappers.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/weights/small_model.h"
#include "support/errors.h"
#include "support/same_tensors.h"

namespace nestvit {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::small_model;

TensorMap prefixed(const TensorMap& tensors, const std::string& prefix) {
  TensorMap result;
  for (const auto& [name, tensor] : tensors) result.emplace(prefix + name, tensor);
  return result;
}

TensorMap both(TensorMap a, const TensorMap& b) {
  a.insert(b.begin(), b.end());
  return a;
}

const TensorMap& network() {
  static const TensorMap tensors = small_model().tensors;
  return tensors;
}

const Tensor& number() {
  static const Tensor tensor = Tensor::f32({1}, {1});
  return tensor;
}

std::string warning_of(const TensorMap& tensors) {
  ::testing::internal::CaptureStderr();
  unwrap(tensors, false, "x");
  return ::testing::internal::GetCapturedStderr();
}

TEST(Unwrap, AnyPrefixAndAnyCombination) {
  for (const char* prefix :
       {"", "module.", "_orig_mod.", "model.", "net.", "backbone.", "timm_model.", "module.model.",
        "_orig_mod.module.", "module._orig_mod.module.", "model.backbone._orig_mod.", "0.",
        "_fsdp_wrapped_module.", "my_own_net.encoder.", "ema_model.module."}) {
    const Unwrapped found = unwrap(prefixed(network(), prefix), false, "x");
    testing::expect_same(found.tensors, network(), prefix);
  }
  EXPECT_EQ(unwrap(prefixed(network(), "module.model."), false, "x").prefix, "module.model.");
}

// PyTorch's FSDP, checkpoint_wrapper and a compiled part of a network.
TEST(Unwrap, WordsInsideNames) {
  TensorMap wrapped;
  for (const auto& [name, tensor] : network()) {
    const size_t dot = name.find('.') + 1;
    wrapped.emplace("_fsdp_wrapped_module." + name.substr(0, dot) +
                        "_checkpoint_wrapped_module._orig_mod." + name.substr(dot),
                    tensor);
  }
  testing::expect_same(unwrap(wrapped, false, "x").tensors, network(), "wrapped inside");
}

// torch.optim.swa_utils.AveragedModel, a loss with weights: not all names have the prefix.
TEST(Unwrap, TensorsBesideTheNetworkAreLeftOutAndNamed) {
  TensorMap all = prefixed(network(), "module.");
  all.emplace("n_averaged", number());
  all.emplace("criterion.weight", number());
  testing::expect_same(unwrap(all, false, "x").tensors, network(), "with others beside it");
  EXPECT_THAT(warning_of(all), AllOf(HasSubstr("2 tensors"), HasSubstr("criterion.weight"),
                                     HasSubstr("n_averaged")));
  EXPECT_EQ(warning_of(prefixed(network(), "module.")), "");
  // Without a prefix nothing tells them apart: they stay, for whoever checks the names.
  TensorMap bare = network();
  bare.emplace("criterion.weight", number());
  EXPECT_TRUE(unwrap(bare, false, "x").tensors.contains("criterion.weight"));
}

TEST(Unwrap, AveragedWeightsWhenAsked) {
  TensorMap averaged = network();
  averaged["head.bias"] = Tensor::f32({3}, {7, 8, 9});
  for (const char* prefix : {"ema_model.", "model_ema.module.", "ema.", "model.ema."}) {
    const TensorMap all = both(prefixed(network(), "model."), prefixed(averaged, prefix));
    testing::expect_same(unwrap(all, false, "x").tensors, network(), prefix);
    testing::expect_same(unwrap(all, true, "x").tensors, averaged, prefix);
    EXPECT_EQ(warning_of(all), "") << "the other network is not unknown";
  }
  testing::expect_same(unwrap(both(network(), prefixed(averaged, "ema.")), true, "x").tensors,
                       averaged, "bare");
}

TEST(Unwrap, SeveralNetworksAreListed) {
  const TensorMap two = both(prefixed(network(), "student."), prefixed(network(), "teacher."));
  EXPECT_THAT(testing::error_of([&] { unwrap(two, false, "x.pth"); }),
              AllOf(HasSubstr("x.pth"), HasSubstr("student., teacher."), HasSubstr("of that one")));
  testing::expect_same(unwrap(both(two, prefixed(network(), "model.")), false, "x").tensors,
                       network(), "a name of the list");
  TensorMap many;
  for (int i = 0; i < 100'000; ++i)
    many.emplace(fmt::format("{}.patch_embed.proj.weight", i), number());
  many.emplace("model.patch_embed.proj.weight", number());
  EXPECT_LT(testing::error_of([&] { unwrap(many, false, "x"); }).size(), 1000u);
  EXPECT_THAT(testing::error_of(
                  [&] { unwrap(both(network(), prefixed(network(), "_orig_mod.")), false, "x"); }),
              HasSubstr("two of its tensors"));
}

TEST(Unwrap, AClassifierOfAnotherNameOrPlace) {
  for (const auto& [prefix, head] :
       std::vector<std::pair<std::string, std::string>>{{"", "head.fc."},
                                                        {"", "fc."},
                                                        {"module.", "classifier."},
                                                        {"backbone.", "^head."},
                                                        {"module.backbone.", "^fc."},
                                                        {"module.model.backbone.", "^^classifier."},
                                                        {"module.backbone.", "^^head.fc."}}) {
    std::string place = prefix;
    std::string name = head;
    for (; name.starts_with('^'); name.erase(0, 1)) {
      place.resize(place.size() - 1);
      place.resize(place.find_last_of('.') + 1);
    }
    TensorMap all;
    for (const auto& [own, tensor] : network())
      all.emplace(own.starts_with("head.") ? place + name + own.substr(5) : prefix + own, tensor);
    testing::expect_same(unwrap(all, false, "x").tensors, network(), prefix + head);
  }
}

TEST(Unwrap, OtherLayersAreNoClassifier) {
  TensorMap all = prefixed(network(), "backbone.");
  all.erase("backbone.head.weight");
  all.erase("backbone.head.bias");
  all.emplace("fc.weight", Tensor::f32({3, 5}, std::vector<float>(15)));  // of another width
  all.emplace("fc.bias", Tensor::f32({3}, {0, 0, 0}));
  all.emplace("head.weight", number());
  EXPECT_FALSE(unwrap(all, false, "x").tensors.contains("head.weight"));
  EXPECT_THAT(warning_of(all), AllOf(HasSubstr("fc.bias"), HasSubstr("head.weight")));
}

TEST(Unwrap, BaselinesToo) {
  const TensorMap tensors = initial_tensors(resnet("resnet18_cifar"), 1);
  testing::expect_same(unwrap(prefixed(tensors, "module."), false, "x").tensors, tensors, "resnet");
  testing::expect_same(unwrap(tensors, false, "x").tensors, tensors, "bare");
}

TEST(Unwrap, WithoutANetworkNothingChanges) {
  const TensorMap others = {{"model.fc.weight", number()}, {"model.conv1.weight", number()}};
  testing::expect_same(unwrap(others, false, "x").tensors, others, "others");
  EXPECT_TRUE(unwrap({}, false, "x").tensors.empty());
  const std::string deep = std::string(1 << 20, '.') + "patch_embed.proj.weight";
  EXPECT_TRUE(unwrap({{deep, number()}}, false, "x").tensors.contains(deep));
}

TEST(Places, AreChosenByName) {
  using Places = std::vector<std::string>;
  EXPECT_EQ(choose_place(Places{"model", "state_dict"}, false), 1u);
  EXPECT_EQ(choose_place(Places{"", "weights"}, false), 1u);
  EXPECT_EQ(choose_place(Places{"generator", ""}, false), 1u);
  EXPECT_EQ(choose_place(Places{"generator"}, false), 0u);
  EXPECT_EQ(choose_place(Places{"generator", "discriminator"}, false), std::nullopt);
  EXPECT_EQ(choose_place(Places{"generator", "discriminator", "net"}, false), 2u);
  EXPECT_EQ(choose_place(Places{"a.model", "b.model"}, false), std::nullopt);
  EXPECT_EQ(choose_place(Places{"state_dict_ema", "a"}, false), 1u);
  EXPECT_EQ(choose_place(Places{"state_dict", "a_ema"}, true), 1u);
  EXPECT_EQ(choose_place(Places{"model_ema", "state_dict_ema"}, true), 1u);
  EXPECT_EQ(choose_place(Places{"model_ema"}, false), 0u) << "there is no other";
  EXPECT_EQ(choose_place(Places{"model"}, true), 0u) << "there is no other";
  EXPECT_EQ(choose_place(Places{}, false), std::nullopt);
}

TEST(Places, SayWhetherWeightsAreAveraged) {
  for (const char* place : {"ema", "state_dict_ema", "model.ema_model.module.", "EMA", "swa_model"})
    EXPECT_TRUE(says_averaged(place)) << place;
  for (const char* place : {"", "model", "schema", "emails", "module.emb."})
    EXPECT_FALSE(says_averaged(place)) << place;
}

}  // namespace
}  // namespace nestvit
