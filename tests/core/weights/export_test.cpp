// Export: every form out and in again bit for bit, what a form cannot say, and places that are
// taken.
#include "weights/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <bit>

#include "base/file.h"
#include "core/weights/small_model.h"
#include "support/errors.h"
#include "support/same_tensors.h"
#include "support/temp_dir.h"
#include "weights/config_json.h"
#include "weights/import.h"
#include "weights/safetensors.h"
#include "weights/torch/reader.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::small_model;

class Export : public ::testing::Test {
 protected:
  fs::path path(const std::string& name) const { return folder_ / name; }
  const testing::TempDir folder_;
};

TEST(ExportFormat, NamesAndFormatsCorrespond) {
  EXPECT_THAT(export_format_names(), ElementsAre("nestvit", "timm", "flax", "pth", "safetensors"));
  EXPECT_EQ(export_format("nestvit"), ExportFormat::kNestvit);
  EXPECT_EQ(export_format("timm"), ExportFormat::kTimm);
  EXPECT_EQ(export_format("flax"), ExportFormat::kFlax);
  EXPECT_EQ(export_format("pth"), ExportFormat::kPth);
  EXPECT_EQ(export_format("safetensors"), ExportFormat::kSafetensors);
  testing::expect_error<UsageError>([] { export_format("onnx"); }, {"onnx", "nestvit, timm"});
}

TEST_F(Export, EveryFormRoundTripsBitForBit) {
  for (Attention attention : {Attention::kMultiHead, Attention::kMultiQuery})
    for (Norm norm : {Norm::kLayer, Norm::kBatch, Norm::kGroup}) {
      const LoadedModel model = small_model(attention, norm);
      for (const std::string& name : export_format_names()) {
        const ExportFormat format = export_format(name);
        const bool timm_has = attention == Attention::kMultiHead && norm == Norm::kLayer;
        if (format == ExportFormat::kTimm && !timm_has) continue;
        const fs::path out = path(name);
        export_model(model, format, out, true);
        const LoadedModel back = import_model(out);
        testing::expect_same(back.tensors, model.tensors, name);
        if (format == ExportFormat::kFlax) continue;  // has no words for the rest
        EXPECT_EQ(back.config, model.config) << name;
        EXPECT_EQ(back.preprocessing, model.preprocessing) << name;
        EXPECT_EQ(back.labels, model.labels) << name;
        EXPECT_EQ(back.descriptions, model.descriptions) << name;
      }
    }
}

// All official networks and timm's other padding at full size; values that name their position, so
// that any mix-up shows.
TEST_F(Export, FullSizeVariantsRoundTripThroughEveryForm) {
  for (const std::string& name : variant_names()) {
    if (name.ends_with("_jx") || name == "nest_small" || name == "nest_base") continue;  // as these
    LoadedModel model;
    model.config = variant(name);
    model.preprocessing = preprocessing_mode("jax", model.config.image_size);
    for (int k = 0; k < model.config.num_classes; ++k)
      model.labels.push_back("label " + std::to_string(k));
    uint32_t next = 0;
    for (const Param& param : parameter_table(model.config)) {
      std::vector<float> values(static_cast<size_t>(param.size()));
      for (float& value : values) value = std::bit_cast<float>(0x20000000u + next++);
      model.tensors.emplace(param.name, Tensor::f32(param.shape, std::move(values)));
    }
    for (const std::string& form : export_format_names()) {
      const bool multi_query = model.config.attn_type == Attention::kMultiQuery;
      if (form == "timm" && multi_query) continue;
      if (form == "flax" && model.config.pool_padding == PoolPadding::kSymmetric) continue;
      export_model(model, export_format(form), path(form), true);
      testing::expect_same(import_model(path(form)).tensors, model.tensors, name + " as " + form);
      fs::remove_all(path(form));
    }
  }
}

TEST_F(Export, MakesTheFilesThatOthersLookFor) {
  const LoadedModel model = small_model();
  const auto exported = [&](const char* name) {
    export_model(model, export_format(name), path(name));
    return path(name);
  };
  for (const char* name : {"nestvit", "timm"}) {
    const fs::path out = exported(name);
    EXPECT_TRUE(fs::exists(out / "config.json")) << name;
    EXPECT_TRUE(fs::exists(out / "model.safetensors")) << name;
  }
  const fs::path flax = exported("flax");
  EXPECT_THAT(read_text(flax / "checkpoint"), HasSubstr("model_checkpoint_path: \"ckpt-1\""));
  EXPECT_TRUE(fs::exists(flax / "ckpt-1.flax"));
  const TorchCheckpoint torch = read_torch(exported("pth"));
  EXPECT_EQ(torch.wrapper, "state_dict");
  EXPECT_EQ(torch.facts.at("arch"), timm_architecture(model.config));
  Metadata metadata;
  read_safetensors(exported("safetensors"), &metadata);
  EXPECT_EQ(parse_config(metadata.at(kConfigKey), "metadata").config, model.config);
}

TEST(LostIn, NamesWhatAFormCannotSay) {
  const auto refused = [](const LoadedModel& model, ExportFormat format) {
    return testing::error_of([&] { lost_in(format, model); });
  };
  EXPECT_THAT(refused(small_model(Attention::kMultiQuery), ExportFormat::kTimm),
              HasSubstr("multi-query"));
  EXPECT_THAT(refused(small_model(Attention::kMultiHead, Norm::kBatch), ExportFormat::kTimm),
              HasSubstr("batch norm"));
  LoadedModel symmetric = small_model();
  symmetric.config.pool_padding = PoolPadding::kSymmetric;
  EXPECT_THAT(refused(symmetric, ExportFormat::kFlax), HasSubstr("max-pool"));
  LoadedModel free = small_model();
  free.config.embed_dims = {32, 64, 128};
  EXPECT_THAT(refused(free, ExportFormat::kFlax), HasSubstr("one factor"));
  EXPECT_THAT(lost_in(ExportFormat::kTimm, small_model()), Contains(HasSubstr("erf")));
  EXPECT_TRUE(lost_in(ExportFormat::kNestvit, small_model()).empty());
}

TEST(LostIn, SaysWhatTheOtherSideDoesDifferently) {
  LoadedModel official = small_model();
  EXPECT_THAT(lost_in(ExportFormat::kFlax, official), ElementsAre(HasSubstr("labels")));
  LoadedModel timms = official;
  timms.config.gelu = Gelu::kErf;
  timms.preprocessing = preprocessing_mode("timm", 16);
  EXPECT_THAT(lost_in(ExportFormat::kFlax, timms), Contains(HasSubstr("tanh")));
  EXPECT_THAT(lost_in(ExportFormat::kFlax, timms), Contains(HasSubstr("Pillow")));
  EXPECT_THAT(lost_in(ExportFormat::kTimm, official), Contains(HasSubstr("Pillow")));
  EXPECT_THAT(lost_in(ExportFormat::kTimm, timms), Not(Contains(HasSubstr("Pillow"))));
  for (const ExportFormat all :
       {ExportFormat::kNestvit, ExportFormat::kPth, ExportFormat::kSafetensors})
    EXPECT_TRUE(lost_in(all, timms).empty());
}

TEST_F(Export, NothingIsReplacedUnasked) {
  const LoadedModel model = small_model();
  for (const std::string& name : export_format_names()) {
    const fs::path out = path(name);
    export_model(model, export_format(name), out);
    testing::expect_error([&] { export_model(model, export_format(name), out); },
                          {out.string(), "--overwrite"});
    export_model(model, export_format(name), out, true);
  }
}

TEST_F(Export, EmptyFoldersAreFreePlaces) {
  fs::create_directories(path("empty"));
  EXPECT_NO_THROW(check_place(path("empty"), false));
  EXPECT_NO_THROW(check_place(path("nothing"), false));
  write_file(path("file"), std::string_view("x"));
  EXPECT_THROW(check_place(path("file"), false), Error);
  EXPECT_NO_THROW(check_place(path("file"), true));
}

// Missing tensors, and models that a format cannot express, are found before anything is written.
TEST_F(Export, AFailureLeavesNothing) {
  LoadedModel broken = small_model();
  broken.tensors.erase("head.bias");
  for (const std::string& name : export_format_names())
    testing::expect_error([&] { export_model(broken, export_format(name), path(name)); },
                          {"head.bias"});
  EXPECT_THROW(export_model(small_model(Attention::kMultiQuery), ExportFormat::kTimm, path("t")),
               Error);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

}  // namespace
}  // namespace nestvit
