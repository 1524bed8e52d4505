// nestvit quantize: smaller files that every verb reads, measured first, refused when they lose too
// much.
#include <filesystem>

#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class QuantizeCli : public CliTest {
 protected:
  void SetUp() override {
    save("model", tiny_model());
    write_image("data/val/class 0/a.png", {250, 10, 10});
  }
  double size(const std::string& model) const {
    return static_cast<double>(std::filesystem::file_size(path(model) / "model.safetensors"));
  }
};

TEST_F(QuantizeCli, SmallerAndReadByTheOtherVerbs) {
  for (const char* type : {"int8", "bf16"}) {
    const Outcome made =
        nestvit(fmt::format("quantize --model model --output {0} --type {0}", type));
    EXPECT_EQ(made.code, 0) << made.err;
    EXPECT_THAT(made.out, AllOf(HasSubstr("MB in f32"), HasSubstr(type),
                                HasSubstr("rounding   changes levels.")));
    EXPECT_THAT(made.err, HasSubstr("nothing is measured"));
    EXPECT_LT(size(type), 0.8 * size("model"));
    const std::string image = "'data/val/class 0/a.png'";
    EXPECT_EQ(nestvit(fmt::format("predict --model {} {}", type, image)).code, 0);
    EXPECT_THAT(nestvit(fmt::format("inspect {}", type)).out,
                HasSubstr(fmt::format("weights stored in     {}\n", type)));
    EXPECT_THAT(nestvit(fmt::format("inspect {} --json", type)).out,
                HasSubstr(fmt::format("\"weights\": \"{}\"", type)));
    EXPECT_EQ(nestvit(fmt::format("convert {0} {0}-f32", type)).code, 0);
    EXPECT_GT(size(std::string(type) + "-f32"), 0.99 * size("model"));
    EXPECT_THAT(nestvit(fmt::format("inspect {}-f32 --json", type)).out,
                HasSubstr("\"weights\": null"));
  }
}

TEST_F(QuantizeCli, AWeightsFileOfAnotherTypeIsAnError) {
  EXPECT_EQ(nestvit("quantize --model model --output int8").code, 0);
  fs::copy_file(path("model") / "model.safetensors", path("int8") / "model.safetensors",
                fs::copy_options::overwrite_existing);
  expect_failure(nestvit("predict --model int8 'data/val/class 0/a.png'"), 1,
                 {"model.safetensors", "is F32, expected I8", "config.json"});
}

TEST_F(QuantizeCli, MeasuresFirst) {
  save("model", constant_model({0, 2, 1}, {"ant", "bee", "cat"}));
  for (const char* label : {"ant", "bee", "cat"})
    write_image(fmt::format("three/val/{}/a.png", label), {9, 9, 9});
  const std::string command = "quantize --model model --output q --data-dir three";
  const Outcome refused = nestvit(command + " --max-drop -0.5");
  EXPECT_EQ(refused.code, 1);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("more than --max-drop"), HasSubstr("bf16")));
  EXPECT_FALSE(std::filesystem::exists(path("q")));
  const Outcome done = nestvit(command);
  EXPECT_EQ(done.code, 0) << done.err;
  EXPECT_THAT(done.out, AllOf(HasSubstr("33.33 % in f32, 33.33 %"),
                              HasSubstr("agreement  100.00 % of first answers")));
  EXPECT_TRUE(std::filesystem::exists(path("q") / "config.json"));
}

TEST_F(QuantizeCli, NeverOverwritesUnasked) {
  expect_failure(nestvit("quantize --model model --output model"), 1, {"there already"});
  EXPECT_EQ(nestvit("quantize --model model --output model --overwrite").code, 0);
  expect_failure(nestvit("quantize --model model --output q --type int4"), 2, {"int4", "int8"});
}

}  // namespace
}  // namespace nestvit::testing
