// nestvit explain: what it says, by every option.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <sstream>

#include "e2e/verbs/explain/explain_cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A head without weights looks at nothing: no choice is decided.
TEST_F(ExplainCli, TableOfAModelThatLooksAtNothing) {
  save("blind", constant_model({0, std::log(4.0f), std::log(2.0f)}, {"ant", "bee", "with, comma"}));
  write_image("small.png", {10, 100, 200}, 12);
  const Outcome outcome = nestvit("explain --model blind small.png");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  // 12 pixels become 9, of which the first 8 are seen: a block of 4 is 5.33 pixels wide.
  EXPECT_EQ(outcome.out,
            "file       class        probability  where\n"
            "small.png  bee              57.14 %  top left (undecided), 5 x 5 at 0, 0; margin -\n");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(ExplainCli, AnswersAreThoseOfPredict) {
  write_patches("other.png", 30);
  const json predicted =
      json::parse(nestvit("predict --model model photo.png other.png --format json --topk 3").out);
  const json why = json::parse(explain("photo.png other.png --format json").out);
  ASSERT_EQ(why.size(), 2);
  for (size_t i = 0; i < 2; ++i) {
    const json& answers = predicted[i]["predictions"];
    EXPECT_EQ(why[i]["file"], predicted[i]["filename"]);
    EXPECT_EQ(why[i]["target"]["index"], answers[0]["index"]);
    ASSERT_EQ(why[i]["predictions"].size(), 3);
    for (size_t k = 0; k < 3; ++k) {
      EXPECT_EQ(why[i]["predictions"][k]["index"], answers[k]["index"]);
      EXPECT_EQ(why[i]["predictions"][k]["label"], answers[k]["label"]);
      EXPECT_NEAR(why[i]["predictions"][k]["prob"].get<double>(), answers[k]["prob"].get<double>(),
                  3e-6);
    }
    EXPECT_NEAR(why[i]["target"]["value"].get<double>(),
                why[i]["predictions"][0]["logit"].get<double>(), 1e-5);
  }
}

// What the path says follows from the tree.
TEST_F(ExplainCli, ThePathFollowsTheTree) {
  write_patches("photo.png", 21);
  const json why = explained();
  ASSERT_EQ(why["path"].size(), 2);
  json node = why["tree"];
  for (const json& step : why["path"]) {
    std::vector<double> scores;
    double sum = 0, shares = 0;
    for (const json& child : node["children"]) {
      scores.push_back(child["score"].get<double>());
      sum += std::abs(scores.back());
      shares += std::abs(child["share"].get<double>());
    }
    ASSERT_EQ(scores.size(), 4);
    const auto best = std::max_element(scores.begin(), scores.end()) - scores.begin();
    EXPECT_EQ(step["quadrant"], best);
    EXPECT_NEAR(shares, 1, 1e-4);
    std::vector<double> sorted = scores;
    std::sort(sorted.rbegin(), sorted.rend());
    EXPECT_NEAR(step["margin"].get<double>(), (sorted[0] - sorted[1]) / sum, 1e-4);
    EXPECT_EQ(node["children"][static_cast<size_t>(best)]["chosen"], true);
    node = json(node["children"][static_cast<size_t>(best)]);
  }
  // The table says the same in words: 16 of 18 pixels that 21 became, a leaf of 4.
  const char* const names[] = {"top left", "top right", "bottom left", "bottom right"};
  const auto quadrant = [&](size_t i) { return names[why["path"][i]["quadrant"].get<size_t>()]; };
  const json box = node["box"];
  const auto edge = [&](size_t i) { return std::lround(box[i].get<double>()); };
  EXPECT_THAT(explain("photo.png").out,
              HasSubstr(fmt::format("{} -> {}, {} x {} at {}, {}; margins {:.2f}, {:.2f}\n",
                                    quadrant(0), quadrant(1), edge(2) - edge(0), edge(3) - edge(1),
                                    edge(0), edge(1), why["path"][0]["margin"].get<double>(),
                                    why["path"][1]["margin"].get<double>())));
}

TEST_F(ExplainCli, CsvHasARowForEachStep) {
  const Outcome outcome = explain("photo.png --format csv --class cat --class ant");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  std::istringstream lines(outcome.out);
  std::vector<std::string> rows;
  for (std::string line; std::getline(lines, line);) {
    EXPECT_EQ(std::count(line.begin(), line.end(), ','), 11) << line;
    rows.push_back(line);
  }
  ASSERT_EQ(rows.size(), 5);
  EXPECT_EQ(rows[0], "file,class,level,quadrant,score,share,margin,decided,x0,y0,x1,y1");
  for (const size_t i : {1u, 2u}) EXPECT_THAT(rows[i], ::testing::StartsWith("photo.png,cat,"));
  for (const size_t i : {3u, 4u}) EXPECT_THAT(rows[i], ::testing::StartsWith("photo.png,ant,"));
}

TEST_F(ExplainCli, ClassesByLabelNameAndIndex) {
  const json by_label = explained("--class cat");
  EXPECT_EQ(by_label["target"]["index"], 2);
  EXPECT_EQ(explained("--class 2"), by_label);
  EXPECT_EQ(explained("--class cat --class 2"), by_label);  // once
  LoadedModel model = three_levels({"n01440764", "n01443537", "7"});
  model.descriptions = {{"n01440764", "tench, Tinca tinca"}, {"n01443537", "goldfish"}};
  save("synsets", model);
  const auto target = [&](const std::string& word) {
    const Outcome outcome =
        nestvit("explain --model synsets photo.png --format json --class " + word);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out, nullptr, false)[0]["target"]["index"].get<int>();
  };
  EXPECT_EQ(target("goldfish"), 1);
  EXPECT_EQ(target("tench"), 0);
  EXPECT_EQ(target("'tench, Tinca tinca'"), 0);
  EXPECT_EQ(target("n01443537"), 1);
  EXPECT_EQ(target("7"), 2);  // a label goes before an index
  EXPECT_THAT(nestvit("explain --model synsets photo.png --class 0").out, HasSubstr("tench"));
}

TEST_F(ExplainCli, TopkExplainsThatManyClasses) {
  const json three = json::parse(explain("photo.png --format json --topk 9").out);
  ASSERT_EQ(three.size(), 3);  // as many as there are classes
  for (size_t k = 0; k < 3; ++k)
    EXPECT_EQ(three[k]["target"]["index"], three[0]["predictions"][k]["index"]);
  const std::string table = explain("photo.png --topk 2").out;
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 3);
}

// Scores are linear in the target: cat against ant is cat less ant.
TEST_F(ExplainCli, AgainstIsTheDifference) {
  write_patches("photo.png", 21);
  const json cat = explained("--class cat"), ant = explained("--class ant");
  const json both = explained("--class cat --against ant");
  EXPECT_EQ(both["target"]["against"], 0);
  for (size_t k = 0; k < 4; ++k) {
    const auto score = [k](const json& why) {
      return why["tree"]["children"][k]["score"].get<double>();
    };
    EXPECT_NEAR(score(both), score(cat) - score(ant),
                1e-4 * (std::abs(score(cat)) + std::abs(score(ant))));
  }
  EXPECT_THAT(explain("photo.png --class cat --against ant").out,
              ::testing::StartsWith("file       class         probability  where\n"
                                    "photo.png  cat, not ant  "));
  // Without a class it is the best of the others.
  const int best = explained()["target"]["index"].get<int>();
  const json other = explained(fmt::format("--against {}", best));
  EXPECT_EQ(other["target"]["index"], explained("--topk 1")["predictions"][1]["index"]);
}

TEST_F(ExplainCli, TargetLogProbability) {
  const json why = explained("--target logprob");
  EXPECT_EQ(why["target"]["kind"], "logprob");
  EXPECT_NE(why["target"]["value"], explained()["target"]["value"]);
}

TEST_F(ExplainCli, EveryMethod) {
  for (const std::string method : {"gradcat", "occlusion"}) {
    const json why = explained("--method " + method);
    EXPECT_EQ(why["method"], method);
    EXPECT_EQ(why["path"].size(), 2);
  }
  for (const std::string method : {"relevance", "cam", "layercam", "gradcam"}) {
    const json why = explained("--method " + method);
    EXPECT_EQ(why["method"], method);
    EXPECT_FALSE(why.contains("tree"));
    EXPECT_EQ(why["levels"].size(), 1);
    const Outcome table = explain("photo.png --method " + method);
    EXPECT_EQ(table.code, 0) << table.err;
    EXPECT_EQ(std::count(table.out.begin(), table.out.end(), '\n'), 2);
  }
  // Token maps are of 16, 8 and 4; a plane of ConvPool k has the side of level k - 1.
  EXPECT_EQ(explained("--method cam")["levels"][0]["grid"], 4);
  EXPECT_EQ(explained("--method relevance")["levels"][0]["grid"], 16);
  EXPECT_EQ(explained("--method relevance --level 2")["levels"][0]["grid"], 8);
  EXPECT_EQ(explained("--method relevance --level pixels")["levels"][0]["grid"], 16);
  EXPECT_NE(explained("--method relevance --propagation gradient")["levels"],
            explained("--method relevance")["levels"]);
}

TEST_F(ExplainCli, OcclusionOfEveryBlock) {
  const auto nodes = [](const json& why) {
    int count = 0;
    const auto walk = [&count](const auto& self, const json& node) -> void {
      ++count;
      if (node.contains("children"))
        for (const json& child : node["children"]) self(self, child);
    };
    walk(walk, why["tree"]);
    return count;
  };
  EXPECT_EQ(nodes(explained("--method occlusion")), 1 + 4 + 4);
  EXPECT_EQ(nodes(explained("--method occlusion --all")), 1 + 4 + 16);
  EXPECT_NE(explained("--method occlusion --fill black")["path"],
            explained("--method occlusion")["path"]);
}

TEST_F(ExplainCli, VerifyMasksBesideThePath) {
  const json why = explained("--verify"), masked = explained("--method occlusion");
  for (const json& step : why["path"]) {
    ASSERT_TRUE(step.contains("occlusion"));
    EXPECT_EQ(step["occlusion"]["agrees"], step["occlusion"]["best"] == step["quadrant"]);
  }
  EXPECT_EQ(why["path"][0]["occlusion"]["best"], masked["path"][0]["quadrant"]);
  EXPECT_FALSE(explained()["path"][0].contains("occlusion"));
  EXPECT_THAT(explain("photo.png --verify").out, HasSubstr("; masking "));
  EXPECT_THAT(explain("photo.png").out, Not(HasSubstr("masking")));
}

// With layer norm the letter of the paper scores rounding noise, and says so.
TEST_F(ExplainCli, TheLetterOfThePaperWarns) {
  const Outcome outcome = explain("photo.png --paper --format json");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("zero but for rounding"));
  const json why = json::parse(outcome.out)[0];
  EXPECT_EQ(why["site"], "output");
  EXPECT_EQ(why["propagation"], "gradient");
  EXPECT_EQ(why["sign"], "paper");
  EXPECT_EQ(why["path"][0]["decided"], false);
  EXPECT_THAT(explain("photo.png --paper").out, HasSubstr("(undecided)"));
  EXPECT_THAT(explain("photo.png --site output").err, HasSubstr("zero but for rounding"));
  EXPECT_EQ(explain("photo.png").err, "");
  EXPECT_EQ(explained()["path"][0]["decided"], true);
  LoadedModel model = three_levels({"ant", "bee", "cat"});
  fields(model.config).set("norm_type", "BN");
  model.tensors = initial_tensors(model.config, 7);
  save("bn", model);
  EXPECT_THAT(nestvit("explain --model bn photo.png --paper").err, Not(HasSubstr("rounding")));
}

TEST_F(ExplainCli, SignAndPropagation) {
  write_patches("photo.png", 21);
  const json ascent = explained(), paper = explained("--sign paper");
  for (size_t k = 0; k < 4; ++k)
    EXPECT_EQ(paper["tree"]["children"][k]["score"].get<double>(),
              -ascent["tree"]["children"][k]["score"].get<double>());
  EXPECT_NE(explained("--propagation gradient")["tree"], ascent["tree"]);
}

TEST_F(ExplainCli, MapsOnlyWhereAskedFor) {
  EXPECT_FALSE(explained()["levels"][0].contains("map"));
  const json why = explained("--maps");
  ASSERT_EQ(why["levels"].size(), 2);  // of level 2, then of level 1
  for (const json& level : why["levels"]) {
    ASSERT_EQ(level["map"].size(), level["grid"].get<size_t>());
    double sum = 0;
    for (const json& row : level["map"])
      for (const json& value : row) sum += value.get<double>();
    EXPECT_NEAR(sum, level["sum"].get<double>(),
                1e-4 * (level["positive"].get<double>() - level["negative"].get<double>()));
  }
}

TEST_F(ExplainCli, NeitherBatchNorThreadsChangeAnAnswer) {
  write_patches("other.png", 30);
  const std::string images = "photo.png other.png photo.png --format json --maps --topk 2";
  const std::string expected = explain(images + " -b 1 --threads 1").out;
  for (const char* way : {" -b 2 --threads 1", " -b 8 --threads 2"})
    EXPECT_EQ(explain(images + way).out, expected);
}

TEST_F(ExplainCli, OptionsThatExcludeEachOther) {
  const std::map<std::string, std::vector<std::string>> wrong = {
      {"", {"no image to explain", "--data-dir"}},
      {"photo.png --data-dir data", {"--data-dir"}},
      {"photo.png --paper --site input", {"--paper", "--site"}},
      {"photo.png --paper --sign paper", {"--paper", "--sign"}},
      {"photo.png --paper --propagation gradient", {"--paper", "--propagation"}},
      {"photo.png --paper --method cam", {"--paper", "cam", "gradcat"}},
      {"photo.png --site output --method relevance", {"--site", "relevance"}},
      {"photo.png --sign paper --method cam", {"--sign", "cam"}},
      {"photo.png --propagation gradient --method layercam", {"--propagation", "layercam"}},
      {"photo.png --level 1", {"--level", "gradcat"}},
      {"photo.png --level pixels --method gradcam", {"--level pixels", "gradcam", "relevance"}},
      {"photo.png --level zero --method relevance", {"--level", "zero", "pixels"}},
      {"photo.png --level 0 --method relevance", {"--level", "from 1"}},
      {"photo.png --verify --method occlusion", {"--verify", "occlusion"}},
      {"photo.png --all", {"--all", "occlusion"}},
      {"photo.png --fill blur", {"--fill", "--verify"}},
      {"photo.png --class cat --topk 2", {"--class", "--topk"}},
      {"photo.png --against cat --target logprob", {"--against", "logprob"}},
      {"photo.png --format csv --method cam", {"--format csv", "cam"}},
      {"photo.png --output x.csv --method cam", {"--format csv", "cam"}},
      {"photo.png --maps", {"--maps", "--format json"}},
      {"photo.png --smooth", {"--smooth", "--out"}},
      {"photo.png --sheet sheet.webp", {"sheet.webp", ".jpg"}},
      {"photo.png --method gradcta", {"gradcta", "gradcat, relevance"}},
      {"photo.png --format xml", {"xml", "table, json, csv"}},
  };
  // None of them needs a model.
  fs::remove_all(path("model"));
  for (const auto& [arguments, mentions] : wrong) {
    SCOPED_TRACE(arguments);
    expect_failure(explain(arguments), 2, mentions);
  }
}

TEST_F(ExplainCli, ClassesAndLevelsThatTheModelDoesNotHave) {
  expect_failure(explain("photo.png --class cta"), 2, {"--class", "cta", "did you mean \"cat\"?"});
  expect_failure(explain("photo.png --class elephant"), 2, {"--class", "elephant", "index"});
  expect_failure(explain("photo.png --class 3"), 2, {"--class", "0 to 2"});
  expect_failure(explain("photo.png --class -1"), 2, {"--class"});
  expect_failure(explain("photo.png --class ''"), 2, {"--class"});
  expect_failure(explain("photo.png --against bea"), 2, {"--against", "did you mean \"bee\"?"});
  expect_failure(explain("photo.png --class cat --against 2"), 2, {"--against", "cat"});
  expect_failure(explain("photo.png --method relevance --level 3"), 2, {"--level", "1", "2"});
  LoadedModel model = three_levels({"n02012849", "n03126707", "cat"});
  model.descriptions = {{"n02012849", "crane"}, {"n03126707", "crane"}};
  save("cranes", model);
  expect_failure(nestvit("explain --model cranes photo.png --class crane"), 2,
                 {"means 2 classes", "0, 1"});
  // Before any image is read.
  expect_failure(explain("nowhere.png --class cta"), 2, {"cta"});
}

TEST_F(ExplainCli, BaselinesAreRefused) {
  LoadedNetwork baseline;
  baseline.config = architecture("resnet18_cifar");
  baseline.preprocessing = preprocessing_mode("jax", baseline.config.image_size());
  for (int k = 0; k < baseline.config.num_classes(); ++k)
    baseline.labels.push_back(fmt::format("class {}", k));
  // Zeros: eleven million weights are drawn slowly.
  for (const Param& param : parameter_table(baseline.config)) {
    const int64_t count =
        std::accumulate(param.shape.begin(), param.shape.end(), int64_t{1}, std::multiplies<>());
    baseline.tensors[param.name] =
        Tensor::f32(param.shape, std::vector<float>(static_cast<size_t>(count)));
  }
  save_model(path("baseline"), baseline);
  expect_failure(nestvit("explain --model baseline photo.png"), 1,
                 {"explain is for a NesT", "resnet18_cifar"});
}

// One level: a block, and nothing to choose.
TEST_F(ExplainCli, AModelOfOneLevel) {
  LoadedModel model = tiny_model();
  model.config.image_size = 4;
  model.preprocessing = preprocessing_mode("jax", 4);
  fields(model.config).set("num_layers_per_block", "[1]");
  model.tensors = initial_tensors(model.config, 7);
  save("flat", model);
  const Outcome outcome = nestvit("explain --model flat photo.png --out why");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("nothing to choose"));
  for (const char* way : {"--method relevance", "--method relevance --level pixels", "--method cam",
                          "--method occlusion", "--verify"})
    EXPECT_EQ(nestvit(fmt::format("explain --model flat photo.png {}", way)).code, 0) << way;
  expect_failure(nestvit("explain --model flat photo.png --method layercam"), 2, {"level"});
  expect_failure(nestvit("explain --model flat photo.png --method relevance --level 1"), 2,
                 {"--level"});
}

// One channel: MNIST and its like.
TEST_F(ExplainCli, AModelOfGreyImages) {
  LoadedModel model = three_levels({"ant", "bee", "cat"});
  model.config.in_channels = 1;
  model.preprocessing = preprocessing_mode("jax", 16, 1);
  model.tensors = initial_tensors(model.config, 7);
  save("grey", model);
  const Outcome outcome = nestvit("explain --model grey photo.png --verify --out why");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(files_in("why").size(), 2);
}

TEST_F(ExplainCli, HelpNamesEveryOption) {
  const std::string help = nestvit("explain --help").out;
  for (const char* option :
       {"--class",       "--topk",    "--against",    "--method",       "--level",    "--site",
        "--propagation", "--sign",    "--paper",      "--target",       "--verify",   "--fill",
        "--all",         "--format",  "--maps",       "--output",       "--out ",     "--sheet",
        "--smooth",      "--threads", "--batch-size", "--on-bad-image", "--data-dir", "--dataset",
        "--split",       "--limit"})
    EXPECT_THAT(help, HasSubstr(option));
  EXPECT_THAT(help, HasSubstr("They have seen beyond it"));
}

}  // namespace
}  // namespace nestvit::testing
