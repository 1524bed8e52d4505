// nestvit convert, and every verb on weights of every form.
#include "support/cli_test.h"
#include "weights/import.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;

class ConvertCli : public CliTest {
 protected:
  void SetUp() override {
    model_ = tiny_model();
    save("model", model_);
    write_image("photo.png", {90, 40, 200});
  }
  Outcome convert(const std::string& arguments) const { return nestvit("convert " + arguments); }
  LoadedModel model_;
};

TEST_F(ConvertCli, ThereAndBackBitForBit) {
  std::string from = "model";
  for (const std::string name : {"flax", "pth", "safetensors", "nestvit"}) {
    const Outcome outcome = convert(fmt::format("{} as-{} --to {}", from, name, name));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("written as " + name));
    from = "as-" + name;
    const LoadedModel back = import_model(path(from));
    for (const auto& [key, tensor] : model_.tensors)
      EXPECT_EQ(back.tensors.at(key).to_f32(), tensor.to_f32()) << name << " " << key;
  }
}

TEST_F(ConvertCli, VerbsTakeEveryForm) {
  const Outcome expected = nestvit("predict --model model photo.png --format csv");
  ASSERT_EQ(expected.code, 0) << expected.err;
  for (const std::string name : {"nestvit", "pth", "safetensors"}) {
    ASSERT_EQ(convert(fmt::format("model as-{} --to {}", name, name)).code, 0);
    const Outcome got = nestvit(fmt::format("predict --model as-{} photo.png --format csv", name));
    EXPECT_EQ(got.out, expected.out) << got.err;
  }
  ASSERT_EQ(convert("model official --to flax").code, 0);
  const Outcome inspect = nestvit("inspect official/ckpt.39");
  EXPECT_THAT(inspect.out, HasSubstr("local_multi_query")) << inspect.err;
}

TEST_F(ConvertCli, SaysWhatAFormCannot) {
  expect_failure(convert("model out --to timm"), 1, {"multi-query", "--to nestvit"});
  EXPECT_FALSE(fs::exists(path("out")));
  const Outcome flax = convert("model out --to flax");
  EXPECT_THAT(flax.err, HasSubstr("warning: a checkpoint holds no labels"));
}

TEST_F(ConvertCli, Mistakes) {
  expect_failure(convert("model"), 2, {"OUT"});
  expect_failure(convert("model out --to onnx"), 2, {"onnx"});
  expect_failure(convert("absent out"), 1, {"there is no model absent"});
  expect_failure(convert("model model"), 1, {"is there already", "--overwrite"});
  expect_failure(convert("model out --config.learning_rate=1"), 2, {"--config.nest.KEY"});
  expect_failure(convert("model out --config.nest.patch_sise=1"), 2, {"patch_size"});
  write_file(path("broken.pth"), std::string_view("PK\3\4 and nothing more of a zip file"));
  expect_failure(convert("broken.pth out"), 1, {"broken.pth"});
  EXPECT_FALSE(fs::exists(path("out")));
}

}  // namespace
}  // namespace nestvit::testing
