// nestvit bench, and --dtype of the verbs that run a model.
#include <sstream>

#include "kernels/isa.h"
#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class BenchCli : public CliTest {};

TEST_F(BenchCli, OneRowPerSetting) {
  save("model", tiny_model());
  const Outcome outcome = nestvit("bench --model model --batch 1,3 --threads 1,2 --rounds 1 --csv");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  std::string line;
  std::getline(lines, line);
  EXPECT_THAT(line, HasSubstr("infer_samples_per_sec,infer_step_time,infer_batch_size"));
  int rows = 0;
  for (; std::getline(lines, line); ++rows) EXPECT_THAT(line, HasSubstr("nest_tiny_s16_32,"));
  EXPECT_EQ(rows, 4);
}

TEST_F(BenchCli, NamesAndPathsAndTheFieldsOfANesT) {
  const Outcome outcome = nestvit(
      "bench --model nest_tiny_s16_32 --config.nest.embedding_dim=6 --batch 1 --threads 1 --rounds "
      "1");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("f32  threads 1 batch  1:"));
}

TEST_F(BenchCli, GradientsBesideTheForward) {
  save("model", tiny_model());
  const Outcome outcome =
      nestvit("bench --model model --batch 1,3 --threads 1,2 --rounds 1 --gradients");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* setting : {"threads 1 batch  1:", "threads 2 batch  3:", "times as long"})
    EXPECT_THAT(outcome.out, HasSubstr(setting));
  for (const char* other : {"--csv", "--profile", "--dtype int8"})
    expect_failure(nestvit(std::string("bench --model model --gradients ") + other), 2,
                   {"--gradients"});
}

TEST_F(BenchCli, ProfileNamesThePartsOfEachLevel) {
  save("model", tiny_model());
  const Outcome outcome = nestvit("bench --model model --batch 2 --threads 2 --rounds 1 --profile");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* part : {"level 0  patch embedding", "level 1  convolution", "level 1  gelu",
                           "head", "waiting, rest"})
    EXPECT_THAT(outcome.out, HasSubstr(part));
}

// Group norm goes through a level in steps of its own.
TEST_F(BenchCli, ProfileOfEachNorm) {
  for (const char* norm : {"BN", "GN"}) {
    const Outcome outcome =
        nestvit(fmt::format("bench --model nest_tiny_s16_32 --config.nest.embedding_dim=96 "
                            "--config.nest.norm_type={} --batch 1 --threads 2 --rounds 1 --profile",
                            norm));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    for (const char* part : {"level 0  norms", "level 3  norms", "level 3  fc2"})
      EXPECT_THAT(outcome.out, HasSubstr(part));
  }
}

TEST_F(BenchCli, ProfileWhereItCannotBeIsAnErrorBeforeAnythingIsMeasured) {
  save("model", tiny_model());
  const std::string csv = "bench --model model --csv --profile";
  expect_failure(nestvit(csv), 2, {"--profile", "--csv"});
  EXPECT_EQ(nestvit(csv).out, "");
}

// A limit gives the team one thread: its time is not shared among the two that were asked for.
TEST_F(BenchCli, ThreadsAreThoseOfTheTeam) {
  save("model", tiny_model());
  const Outcome outcome = shell(
      "OMP_THREAD_LIMIT=1 nestvit bench --model model --threads 2 --batch 1 --rounds 1 --profile");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("threads 1"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("threads 2")));
}

TEST_F(BenchCli, WrongSettingsAreErrors) {
  save("model", tiny_model());
  for (const char* wrong : {"--batch 0", "--batch 1,,2", "--batch 1,", "--threads two"})
    expect_failure(nestvit(fmt::format("bench --model model {}", wrong)), 2,
                   {"expected whole numbers from 1"});
  expect_failure(nestvit("bench --model model --dtype int4"), 2, {"int4", "f32"});
  expect_failure(nestvit("bench --model resnet18"), 1, {"resnet18", "baseline"});
  expect_failure(shell("NESTVIT_ISA=mmx nestvit bench --model model"), 2, {"mmx", "avx2"});
}

TEST_F(BenchCli, ShortTypesAnswerOrSayThatTheyCannot) {
  save("model", tiny_model());
  write_image("red.png", {250, 10, 10});
  const auto expect_answer = [&](const std::string& isa, const std::string& type) {
    const std::string rest = fmt::format("--model model --dtype {}", type);
    const Outcome outcome =
        shell(fmt::format("NESTVIT_ISA={} nestvit predict {} red.png", isa, rest));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("red.png"));
    EXPECT_THAT(shell(fmt::format("NESTVIT_ISA={} nestvit bench {} --rounds 1", isa, rest)).out,
                HasSubstr(fmt::format("of the {} peak", type)));
  };
  if (kernels::uses(kernels::Isa::kAvx512Bf16)) expect_answer("", "bf16");
  for (const char* isa : {"plain", "avx2", "avx512", ""}) expect_answer(isa, "int8");
  for (const char* verb : {"predict --model model red.png", "bench --model model --rounds 1"})
    expect_failure(shell(fmt::format("NESTVIT_ISA=avx2 nestvit {} --dtype bf16", verb)), 2,
                   {"AVX512_BF16", "f32"});
}

TEST_F(BenchCli, AgainstAPeerRunsTheScriptOfTheSourceTree) {
  const Outcome outcome = shell(
      "NESTVIT_PYTHON=echo nestvit bench --model nest_tiny --against timm --batch 1,8 "
      "--dtype f32,bf16 --threads 2 --rounds 3");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("/bench/infer/run.py "));
  EXPECT_THAT(outcome.out,
              HasSubstr(" --rounds 3 --models nest_tiny --peers eager compile --batches 1 8 "
                        "--dtypes f32 bf16 --threads 2\n"));
  save("model", tiny_model());
  expect_failure(nestvit("bench --model ./model --against openvino"), 2, {"a model's name"});
  expect_failure(shell("NESTVIT_PYTHON=no-python nestvit bench --model nest_tiny --against timm"),
                 1, {"no-python", "requirements.txt"});
  expect_failure(shell("mkdir bin && cp \"$(command -v nestvit)\" bin && "
                       "bin/nestvit bench --model nest_tiny --against timm"),
                 1, {"source tree", "bench/infer/run.py"});
}

TEST_F(BenchCli, AutoIsMeasuredOnceAndKept) {
  save("model", tiny_model());
  write_image("red.png", {250, 10, 10});
  const std::string cache = "XDG_CACHE_HOME=cache nestvit ";
  const Outcome first = shell(cache + "bench --model model --explain");
  EXPECT_EQ(first.code, 0) << first.err;
  for (const char* part : {"f32       own products by ", "level 1   f32 convolution",
                           "measured now", ", chosen", "kept in cache/nestvit/speed/"})
    EXPECT_THAT(first.out, HasSubstr(part));
  EXPECT_THAT(shell(cache + "bench --model model --explain").out, HasSubstr("measured before"));
  const Outcome answer = shell(cache + "predict --model model --dtype auto red.png");
  EXPECT_EQ(answer.code, 0) << answer.err;
  // A damaged file is measured again.
  for (const auto& entry : fs::directory_iterator(path("cache/nestvit/speed")))
    fs::resize_file(entry.path(), fs::file_size(entry.path()) / 2);
  EXPECT_THAT(shell(cache + "bench --model model --explain").out, HasSubstr("measured now"));
  // Where nothing can be kept it is measured each time.
  const Outcome nowhere =
      shell("env -u HOME -u XDG_CACHE_HOME nestvit bench --model model --explain");
  EXPECT_EQ(nowhere.code, 0) << nowhere.err;
  EXPECT_THAT(nowhere.out, HasSubstr("measured now"));
}

}  // namespace
}  // namespace nestvit::testing
