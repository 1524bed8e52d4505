// Weights of every kind through the importer and the engine: the logits that their authors'
// programs computed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "runtime/engine.h"
#include "support/golden_model.h"
#include "support/near.h"
#include "weights/import.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<float> nchw(const Tensor& nhwc) {
  const auto values = nhwc.as<float>();
  const int64_t b = nhwc.dim(0), h = nhwc.dim(1), w = nhwc.dim(2), c = nhwc.dim(3);
  std::vector<float> out(values.size());
  for (int64_t i = 0; i < b; ++i)
    for (int64_t k = 0; k < c; ++k)
      for (int64_t p = 0; p < h * w; ++p)
        out[(i * c + k) * h * w + p] = values[(i * h * w + p) * c + k];
  return out;
}

// Relative to the largest logit, as the goldens' README states float32's reach.
void expect_logits(const LoadedModel& model, const std::vector<float>& input,
                   const Tensor& expected, const std::string& where) {
  Engine engine(model, EngineOptions{});
  const Output output = engine.run(input, static_cast<int>(expected.dim(0)), false);
  testing::expect_near(output.logits, expected.to_f32(), 2e-5, where);
}

// Names and shapes of a checkpoint do not say which of its layers belong to which level, where
// levels are equally wide: the case's meta.json does.
ImportOptions layers_of(const fs::path& flax_case) {
  const json meta = testing::golden_json(flax_case / "meta.json");
  ImportOptions options;
  options.hints.overrides = {
      {"num_layers_per_block", meta.at("nest_config").at("num_layers_per_block").dump()}};
  return options;
}

TEST(ImportGolden, OfficialCheckpoints) {
  for (const fs::path& folder : testing::golden_cases("flax", "checkpoints-0/checkpoint")) {
    const LoadedModel model = import_model(folder / "checkpoints-0" / "ckpt.39", layers_of(folder));
    const auto got = geometry(model.config);
    const auto wanted = geometry(testing::golden_flax_config(folder));
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].heads, wanted[i].heads);
      EXPECT_EQ(got[i].depth, wanted[i].depth);
      EXPECT_EQ(got[i].width, wanted[i].width);
    }
    EXPECT_EQ(model.preprocessing.resampler, Resampler::kTf);
    const TensorMap io = read_safetensors(folder / "io.safetensors");
    expect_logits(model, nchw(io.at("input")), io.at("logits"), folder.string());
  }
}

// timm's two paddings, by its own folders.
TEST(ImportGolden, TimmFolders) {
  const fs::path root = testing::golden_root() / "timm";
  const TensorMap io = read_safetensors(root / "io.safetensors");
  int found = 0;
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename();
    if (!entry.is_directory() || !name.starts_with("hf_")) continue;
    ++found;
    for (const fs::path& path : {entry.path(), entry.path() / "model.safetensors"}) {
      const LoadedModel model = import_model(path);
      expect_logits(model, io.at("input").to_f32(), io.at(name.substr(3) + "/logits"),
                    path.string());
      EXPECT_EQ(model.preprocessing.resampler, Resampler::kPil);
    }
  }
  EXPECT_GT(found, 0);
}

// What a bare state_dict cannot say is given: heads, and by the variant padding and GELU.
ImportOptions as_meta_says(const json& args, const std::string& variant) {
  ImportOptions options;
  options.hints.variant = variant;
  options.hints.overrides = {{"level_heads", args.at("num_heads").dump()},
                             {"embed_dims", args.at("embed_dims").dump()}};
  return options;
}

TEST(ImportGolden, TorchFilesOfEveryKind) {
  const fs::path root = testing::golden_root() / "timm";
  const json meta = testing::golden_json(root / "meta.json");
  const TensorMap io = read_safetensors(root / "io.safetensors");
  for (const char* name : {"state.pth", "module_prefix.pth.tar"})
    for (const fs::path& folder : testing::golden_cases("timm", "config.json")) {
      const std::string variant = folder.filename().string().substr(std::string("hf_").size());
      const LoadedModel model = import_model(root / name, as_meta_says(meta.at("args"), variant));
      expect_logits(model, io.at("input").to_f32(), io.at(variant + "/logits"), name + variant);
    }
  for (const bool ema : {false, true}) {
    ImportOptions options = as_meta_says(meta.at("args"), "");
    options.prefer_ema = ema;
    const LoadedModel model = import_model(root / "train_checkpoint.pth.tar", options);
    const std::string key =
        ema ? "train_checkpoint/logits_state_dict_ema" : "train_checkpoint/logits_state_dict";
    expect_logits(model, io.at("input").to_f32(), io.at(key), key);
  }
}

// The official checkpoint, and timm's own conversion of it: the same tensors, the same answers.
TEST(ImportGolden, TimmsConversionAgreesWithOurs) {
  int found = 0;
  const fs::path root = testing::golden_root() / "timm";
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string stem = entry.path().stem();
    if (!stem.starts_with("converted_") || entry.path().extension() != ".pth") continue;
    ++found;
    const json meta = testing::golden_json(root / (stem + ".json"));
    const ImportOptions options = as_meta_says(meta.at("timm_args"), "");
    const LoadedModel theirs = import_model(entry.path(), options);
    const fs::path source =
        testing::golden_root() / "flax" / stem.substr(std::string("converted_").size());
    const LoadedModel ours = import_model(source / "checkpoints-0", layers_of(source));
    ASSERT_EQ(ours.tensors.size(), theirs.tensors.size());
    for (const auto& [name, tensor] : ours.tensors)
      EXPECT_EQ(tensor.to_f32(), theirs.tensors.at(name).to_f32()) << name;
    const TensorMap io = read_safetensors(root / (stem + "_io.safetensors"));
    const TensorMap input = read_safetensors(source / "io.safetensors");
    int compared = 0;
    for (const auto& [gelu, padding, key] :
         {std::tuple{"erf", "same", "logits_gelu_erf"},
          {"tanh", "same", "logits_gelu_tanh"},
          {"erf", "symmetric", "logits_gelu_erf_symmetric_padding"}}) {
      if (!io.contains(key)) continue;
      ++compared;
      ImportOptions exact = options;
      exact.hints.overrides.emplace_back("gelu", gelu);
      exact.hints.overrides.emplace_back("pool_padding", padding);
      expect_logits(import_model(entry.path(), exact), nchw(input.at("input")), io.at(key), key);
    }
    EXPECT_GT(compared, 0);
  }
  EXPECT_GT(found, 0);
}

}  // namespace
}  // namespace nestvit
