// nestvit predict: every form of input and output, and images that cannot be read.
#include <fmt/format.h>

#include <cmath>
#include <csignal>
#include <nlohmann/json.hpp>
#include <sstream>

#include "metrics/metrics.h"
#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

// Probabilities 1/7, 4/7, 2/7 for every image.
const std::vector<float> kLogits = {0, std::log(4.0f), std::log(2.0f)};

class PredictCli : public CliTest {
 protected:
  void SetUp() override {
    save("model", constant_model(kLogits, {"ant", "bee", "with, comma"}));
    write_image("photo.png", {10, 100, 200});
  }
};

TEST_F(PredictCli, Table) {
  const Outcome outcome = nestvit("predict --model model photo.png --topk 2");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "file       label        probability\n"
            "photo.png  bee              57.14 %\n"
            "           with, comma      28.57 %\n");
  EXPECT_EQ(outcome.err, "");
}

// A model that accelerate saved from several GPUs, described as transformers does, and in parts.
TEST_F(PredictCli, ModelsAsOtherProgramsSaveThem) {
  const std::string answers = nestvit("predict --model model photo.png").out;
  json config = json::parse(text("model/config.json"));
  config["id2label"] = json{{"0", "ant"}, {"1", "bee"}, {"2", "with, comma"}};
  config.erase("label_names");
  write_file(path("model/config.json"), std::string_view(config.dump()));
  TensorMap parts[2];
  json index;
  for (const auto& [name, tensor] : read_safetensors(path("model/model.safetensors"))) {
    const int part = parts[0].size() < 5 ? 0 : 1;
    parts[part].emplace("module." + name, tensor);
    index["weight_map"]["module." + name] = fmt::format("part{}.safetensors", part);
  }
  TensorMap whole = parts[0];
  whole.insert(parts[1].begin(), parts[1].end());
  write_safetensors(path("model/model.safetensors"), whole);
  const Outcome wrapped = nestvit("predict --model model photo.png");
  EXPECT_EQ(wrapped.out, answers) << wrapped.err;

  fs::remove(path("model/model.safetensors"));
  for (int part = 0; part < 2; ++part)
    write_safetensors(path(fmt::format("model/part{}.safetensors", part)), parts[part]);
  write_file(path("model/model.safetensors.index.json"), std::string_view(index.dump()));
  const Outcome in_parts = nestvit("predict --model model photo.png");
  EXPECT_EQ(in_parts.out, answers) << in_parts.err;
  EXPECT_EQ(nestvit("inspect model").code, 0);
}

TEST_F(PredictCli, WeightsWithoutAClassifierNameNoClasses) {
  TensorMap tensors = read_safetensors(path("model/model.safetensors"));
  std::erase_if(tensors, [](const auto& named) { return named.first.starts_with("head."); });
  write_safetensors(path("model/headless.safetensors"), tensors);
  const Outcome outcome = nestvit("predict --model model/headless.safetensors photo.png");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("no classifier"));
  EXPECT_THAT(outcome.err, HasSubstr("nestvit train DIR --initial-checkpoint"));
}

TEST_F(PredictCli, Csv) {
  EXPECT_EQ(nestvit("predict --model model photo.png --topk 2 --format csv").out,
            "filename,index,label,prob\n"
            "photo.png,1,bee,0.571429\n"
            "photo.png,2,\"with, comma\",0.285714\n");
}

TEST_F(PredictCli, Json) {
  write_image("second.png", {0, 0, 0});
  const Outcome outcome =
      nestvit("predict --model model photo.png second.png --format json --topk 9 -b 1");
  const json result = json::parse(outcome.out);
  ASSERT_EQ(result.size(), 2);
  EXPECT_EQ(result[0]["filename"], "photo.png");
  EXPECT_EQ(result[1]["filename"], "second.png");
  ASSERT_EQ(result[0]["predictions"].size(), 3);  // as many as there are classes
  EXPECT_EQ(result[0]["predictions"][0]["label"], "bee");
  EXPECT_EQ(result[0]["predictions"][0]["index"], 1);
  EXPECT_DOUBLE_EQ(result[0]["predictions"][0]["prob"], 0.571429);
}

TEST_F(PredictCli, OutputFile) {
  const std::string csv = nestvit("predict --model model photo.png --format csv").out;
  const Outcome outcome =
      nestvit("predict --model model photo.png --format csv --output answers.csv");
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(text("answers.csv"), csv);
  expect_failure(nestvit("predict --model model photo.png --output no/where.txt"), 1,
                 {"no/where.txt"});
}

TEST_F(PredictCli, TheFileSaysTheFormat) {
  for (const std::string format : {"csv", "json", "jsonl"}) {
    const std::string expected = nestvit("predict --model model photo.png --format " + format).out;
    ASSERT_EQ(nestvit("predict --model model photo.png --output a." + format).code, 0);
    EXPECT_EQ(text("a." + format), expected);
  }
  ASSERT_EQ(nestvit("predict --model model photo.png --output a.csv --format json").code, 0);
  EXPECT_EQ(text("a.csv").front(), '[');
}

TEST_F(PredictCli, JsonLines) {
  write_image("second.png", {0, 0, 0});
  const std::string out =
      nestvit("predict --model model photo.png second.png --format jsonl --topk 1").out;
  std::istringstream lines(out);
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    const json answer = json::parse(line);
    names.push_back(answer["filename"]);
    EXPECT_EQ(answer["predictions"][0]["label"], "bee");
  }
  EXPECT_EQ(names, (std::vector<std::string>{"photo.png", "second.png"}));
}

// Images enough that the answers of the first come long before the last.
class PredictStream : public PredictCli {
 protected:
  static constexpr int kImages = 400;
  void SetUp() override {
    PredictCli::SetUp();
    write_image("big.png", {1, 2, 3}, 1500);
    for (int i = 0; i < kImages; ++i) images_ += " big.png";
  }
  // Starts in the background, waits until `file` has two lines, kills; fails where the run ended
  // first.
  Outcome killed(const std::string& arguments, const std::string& file) const {
    return shell(fmt::format(
        "{{ nestvit predict --model model {} -b 1 -j 1 --format csv --topk 1 {} & }}; p=$!; "
        "for i in $(seq 1200); do "
        "[ \"$(cat '{}' 2>/dev/null | wc -l)\" -ge 2 ] && kill -KILL $p && exit 0; "
        "kill -0 $p || exit 3; sleep 0.05; done; exit 4",
        images_, arguments, file));
  }
  std::string images_;
};

TEST_F(PredictStream, AnswersReachAPipeAsTheyCome) { EXPECT_EQ(killed("> got", "got").code, 0); }

TEST_F(PredictStream, AKillLeavesTheAnswersSoFarAndWhatWasThere) {
  write_file(path("answers.csv"), "old");
  ASSERT_EQ(killed("--output answers.csv", "answers.csv.partial").code, 0);
  EXPECT_EQ(text("answers.csv"), "old");
  EXPECT_THAT(text("answers.csv.partial"),
              ::testing::StartsWith("filename,index,label,prob\nbig.png,1,bee,0.571429\n"));
  ASSERT_EQ(nestvit("predict --model model photo.png --output answers.csv --topk 1").code, 0);
  EXPECT_EQ(text("answers.csv"), "filename,index,label,prob\nphoto.png,1,bee,0.571429\n");
  EXPECT_FALSE(fs::exists(path("answers.csv.partial")));
}

TEST_F(PredictStream, AReaderThatGoesIsNoError) {
  for (const char* ignore : {"", "trap \"\" PIPE; "}) {
    const Outcome outcome = shell(
        fmt::format("bash -c '{}nestvit predict --model model {} -b 1 --format csv | head -n 1; "
                    "exit ${{PIPESTATUS[0]}}'",
                    ignore, images_));
    EXPECT_EQ(outcome.code, 128 + SIGPIPE);
    EXPECT_EQ(outcome.out, "filename,index,label,prob\n");
    EXPECT_EQ(outcome.err, "");
  }
}

TEST_F(PredictCli, AFullStandardOutputIsAnError) {
  const Outcome outcome = shell("nestvit predict --model model photo.png > /dev/full");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("cannot write to standard output: No space left"));
}

TEST_F(PredictCli, FoldersRecursivelyInNaturalOrder) {
  for (const char* name : {"in/b/img10.png", "in/b/img2.PNG", "in/a/x.png"})
    write_image(name, {1, 2, 3});
  write_file(path("in/notes.txt"), "no image");
  EXPECT_EQ(nestvit("predict --model model in --topk 1 --format csv -j 3 -b 2").out,
            "filename,index,label,prob\n"
            "in/a/x.png,1,bee,0.571429\n"
            "in/b/img2.PNG,1,bee,0.571429\n"
            "in/b/img10.png,1,bee,0.571429\n");
}

// The images of a folder are those that training reads, and what is not read is said.
TEST_F(PredictCli, FoldersHoldTheImagesOfTraining) {
  for (const char* name : {"in/a/1.png", "in/a/@eaDir/1.png/thumb.png", "in/a/._2.png",
                           "in/lost+found/3.png", "other/4.png"})
    write_image(name, {1, 2, 3});
  fs::copy_file(path("in/a/1.png"), path("in/a/5.jfif"));
  fs::create_directory_symlink(path("other"), path("in/linked"));
  fs::create_directory_symlink(path("in"), path("in/a/circle"));
  fs::create_symlink("/nowhere", path("in/gone.png"));
  for (int i = 0; i < 3; ++i) write_file(path(fmt::format("in/a/{}.bmp", i)), "BM");
  const Outcome outcome = nestvit("predict --model model in --topk 1 --format csv");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "filename,index,label,prob\n"
            "in/a/1.png,1,bee,0.571429\n"
            "in/a/5.jfif,1,bee,0.571429\n"
            "in/linked/4.png,1,bee,0.571429\n");
  EXPECT_THAT(outcome.err, HasSubstr("warning: in: 3 files are not read (3 .bmp)"));
  EXPECT_THAT(outcome.err, HasSubstr("1 link leads nowhere; it is gone.png"));
  EXPECT_THAT(outcome.err, HasSubstr("folder that is read already; it is a/circle"));
  for (const char* name : {"in/a/1.png", "in/a/5.jfif", "in/linked"}) fs::remove_all(path(name));
  expect_failure(nestvit("predict --model model in"), 1, {"no image in this folder", "3 .bmp"});
}

TEST_F(PredictCli, StandardInput) {
  EXPECT_THAT(nestvit("predict --model model - --format csv < photo.png").out,
              HasSubstr("-,1,bee,"));
  expect_failure(nestvit("predict --model model - < /dev/null"), 1, {"standard input is empty"});
  expect_failure(nestvit("predict --model model - < model/config.json"), 1, {"standard input"});
}

TEST_F(PredictCli, NamesThatLookLikeOptionsFollowTwoDashes) {
  write_image("-x.png", {1, 2, 3});
  EXPECT_THAT(nestvit("predict --model model --format csv -- -x.png").out,
              HasSubstr("-x.png,1,bee,"));
}

TEST_F(PredictCli, SameAnswerAsPreprocessAndRun) {
  LoadedModel model = tiny_model();
  std::vector<float> weight = model.tensors.at("head.weight").to_f32();
  for (float& w : weight) w *= 50;  // answers that differ between images and classes
  model.tensors["head.weight"] = Tensor::f32(model.tensors.at("head.weight").shape(), weight);
  save("random", model);
  write_image("second.png", {250, 3, 60}, 31);
  EXPECT_EQ(nestvit("preprocess --model random photo.png second.png --output x.safetensors").code,
            0);
  EXPECT_EQ(nestvit("run --model random --input x.safetensors --output y.safetensors").code, 0);
  const json result = json::parse(
      nestvit("predict --model random photo.png second.png --format json --topk 3").out);
  const std::vector<float> logits = read_safetensors(path("y.safetensors")).at("logits").to_f32();
  ASSERT_EQ(result.size(), 2);
  for (size_t i = 0; i < 2; ++i) {
    const std::vector<float> expected = softmax(std::span(logits).subspan(i * 3, 3));
    for (const json& answer : result[i]["predictions"])
      EXPECT_NEAR(answer["prob"].get<double>(), expected[answer["index"].get<size_t>()], 2e-6);
  }
  EXPECT_NE(result[0]["predictions"], result[1]["predictions"]);
}

TEST_F(PredictCli, SheetIsAPicture) {
  write_image("in/bee/1.png", {255, 0, 0});
  write_image("in/ant/1.png", {0, 0, 255});
  const Outcome outcome = nestvit("predict --model model in --sheet sheet.png");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("sheet.png"));
  const Image sheet = read_image(path("sheet.png"), {});
  EXPECT_GT(sheet.width, 400);
  EXPECT_GT(sheet.height, 200);
}

TEST_F(PredictCli, Dataset) {
  for (int i = 0; i < 6; ++i)
    for (const char* label : {"ant", "bee", "with, comma"})
      write_image(fmt::format("data/val/{}/{}.png", label, i), {1, 2, 3});
  const std::string out =
      nestvit("predict --model model --data-dir data --limit 5 --topk 1 --format csv").out;
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 6);
  EXPECT_EQ(out,
            nestvit("predict --model model --data-dir data --limit 5 --topk 1 --format csv").out);
}

TEST_F(PredictCli, BrokenImageEndsWithItsName) {
  write_image("in/good.png", {1, 2, 3});
  write_image("in/cut.png", {1, 2, 3});
  truncate("in/cut.png");
  const Outcome outcome = nestvit("predict --model model in --format csv");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("in/cut.png"));
}

// As a glob gives them: one text, one broken, one that has gone.
TEST_F(PredictCli, BadFilesAmongManyAreNamedAndTheOthersAnswered) {
  for (const char* name : {"a.png", "b.png", "d.png"}) write_image(name, {1, 2, 3});
  truncate("b.png");
  write_file(path("c.txt"), "notes");
  std::filesystem::create_directory(path("docs"));
  write_file(path("docs/notes.txt"), "notes");
  const std::string images = "a.png b.png c.txt gone.png docs d.png";
  const std::string expected =
      "filename,index,label,prob\na.png,1,bee,0.571429\nd.png,1,bee,0.571429\n";
  for (const char* batch : {"1", "32"}) {
    const Outcome outcome = nestvit(
        fmt::format("predict --model model {} --topk 1 --format csv --output answers.csv -b {}",
                    images, batch));
    EXPECT_EQ(outcome.code, 1);
    EXPECT_EQ(text("answers.csv"), expected);
    for (const char* bad :
         {"b.png", "c.txt", "gone.png", "docs: no image in this folder", "4 of 6 images"})
      EXPECT_THAT(outcome.err, HasSubstr(bad));
  }
  EXPECT_EQ(nestvit("predict --model model " + images + " --topk 1 --format csv").out, expected);
  const Outcome skipped =
      nestvit("predict --model model " + images + " --topk 1 --format csv --on-bad-image skip");
  EXPECT_EQ(skipped.code, 0) << skipped.err;
  EXPECT_EQ(skipped.out, expected);
}

TEST_F(PredictCli, EveryBadFileIsNamedHoweverMany) {
  write_image("good.png", {1, 2, 3});
  std::string bad;
  for (int i = 0; i < 50; ++i) bad += fmt::format(" none{}.png", i);
  const Outcome outcome = nestvit("predict --model model good.png" + bad);
  EXPECT_EQ(outcome.code, 1);
  for (int i = 0; i < 50; ++i) EXPECT_THAT(outcome.err, HasSubstr(fmt::format("none{}.png", i)));
  expect_failure(nestvit("predict --model model" + bad), 1, {"none0.png", "none49.png"});
}

TEST_F(PredictCli, BrokenImageSkipped) {
  write_image("in/good.png", {1, 2, 3});
  write_file(path("in/bad.jpg"), "no JPEG");
  const Outcome outcome =
      nestvit("predict --model model in --format csv --topk 1 --on-bad-image skip");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "filename,index,label,prob\nin/good.png,1,bee,0.571429\n");
  EXPECT_THAT(outcome.err, HasSubstr("in/bad.jpg"));
  fs::remove(path("in/good.png"));
  EXPECT_EQ(nestvit("predict --model model in --on-bad-image skip").code, 1);
}

TEST_F(PredictCli, MistakesAreExplained) {
  expect_failure(nestvit("predict --model model"), 2, {"no image", "--data-dir"});
  expect_failure(nestvit("predict --model model photo.png --data-dir data"), 2, {"--data-dir"});
  expect_failure(nestvit("predict --model model nowhere.png"), 1, {"nowhere.png"});
  fs::create_directories(path("empty"));
  expect_failure(nestvit("predict --model model empty"), 1, {"empty", "jpg"});
  expect_failure(nestvit("predict --model photo.png photo.png"), 1, {"photo.png"});
  write_file(path("zero.png"), "");
  expect_failure(nestvit("predict --model model zero.png"), 1, {"zero.png"});
  fs::remove(path("model/model.safetensors"));
  expect_failure(nestvit("predict --model model photo.png"), 1, {"model.safetensors"});
}

}  // namespace
}  // namespace nestvit::testing
