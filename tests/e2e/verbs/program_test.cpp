// The program around the verbs: help, mistakes, completion, the sibling program.
#include <fstream>
#include <sstream>

#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;

class ProgramCli : public CliTest {
 protected:
  // As the help lists them, so that a new one is looked at too.
  std::vector<std::string> listed_verbs() const {
    std::istringstream lines(nestvit("--help").out);
    std::vector<std::string> verbs;
    std::string line;
    while (std::getline(lines, line) && line != "verbs:") continue;
    while (std::getline(lines, line) && !line.empty())
      if (line.size() > 2 && line[2] != ' ') verbs.push_back(line.substr(2, line.find(' ', 2) - 2));
    return verbs;
  }
};

TEST_F(ProgramCli, HelpListsEveryVerb) {
  for (const char* ask : {"--help", "-h", "help"}) {
    const Outcome outcome = nestvit(ask);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, nestvit("--help").out);
  }
  EXPECT_THAT(listed_verbs(), IsSupersetOf({"predict", "explain", "eval", "train", "bench",
                                            "convert", "data", "doctor", "inspect", "run",
                                            "preprocess", "pull", "quantize", "completion"}));
  const Outcome bare = shell("nestvit");
  EXPECT_EQ(bare.code, 2);
  EXPECT_EQ(bare.out, "");
  EXPECT_THAT(bare.err, HasSubstr("verbs:"));
}

TEST_F(ProgramCli, EveryVerbHasHelpWithExamples) {
  for (const std::string& verb : listed_verbs()) {
    if (verb == "train") continue;  // of the other program
    const Outcome outcome = nestvit(verb + " --help");
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.err, "");
    EXPECT_THAT(outcome.out, StartsWith("usage: nestvit " + verb));
    EXPECT_THAT(outcome.out, HasSubstr("examples:"));
    EXPECT_EQ(outcome.out, nestvit("help " + verb).out);
  }
}

TEST_F(ProgramCli, Version) {
  const Outcome outcome = nestvit("--version");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, ::testing::MatchesRegex("nestvit [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST_F(ProgramCli, EnvironmentVariables) {
  const Outcome outcome = nestvit("--help-environment");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(outcome.out,
            read_text(fs::path(NESTVIT_SOURCE_DIR) / "docs" / "environment-variables.md"));
}

TEST_F(ProgramCli, MistakesAreUsageErrorsThatSuggest) {
  expect_failure(nestvit("predcit x"), 2,
                 {"unknown verb \"predcit\"", "did you mean \"predict\"?"});
  expect_failure(nestvit("zzzzzzzzz"), 2, {"the verbs are: predict"});
  expect_failure(nestvit("--quiet"), 2, {"unknown option \"--quiet\""});
  expect_failure(nestvit("eval --modle out"), 2, {"--modle", "did you mean --model?"});
  expect_failure(nestvit("eval --modle=out"), 2, {"--modle", "did you mean --model?"});
  expect_failure(nestvit("predict -q x"), 2, {"nestvit predict --help"});
  expect_failure(nestvit("eval"), 2, {"--model", "required", "nestvit eval --help"});
  expect_failure(nestvit("predict --model m x --topk many"), 2, {"--topk", "many"});
  expect_failure(nestvit("predict --model m x --topk 0"), 2, {"--topk", "at least 1"});
  expect_failure(nestvit("predict --model m x --topk 99999999999"), 2, {"--topk", "too large"});
  expect_failure(nestvit("predict --model m x --format xml"), 2,
                 {"--format", "table, json, jsonl, csv"});
  expect_failure(nestvit("predict --model m x --topk"), 2, {"--topk"});
}

TEST_F(ProgramCli, ColourOnlyWhenAskedFor) {
  EXPECT_THAT(nestvit("nonsense").err, Not(HasSubstr("\033")));
  EXPECT_THAT(shell("unset NO_COLOR; CLICOLOR_FORCE=1 nestvit nonsense").err, HasSubstr("\033"));
  EXPECT_THAT(shell("NO_COLOR=1 CLICOLOR_FORCE=1 nestvit nonsense").err, Not(HasSubstr("\033")));
}

TEST_F(ProgramCli, FullDiskUnderStandardOutputIsAnError) {
  const Outcome outcome = shell("nestvit inspect nest_tiny_s16_32 > /dev/full");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("standard output"));
}

TEST_F(ProgramCli, LinksNoTorch) {
  const Outcome outcome = shell("ldd \"$(command -v nestvit)\"");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("libc.so"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("torch")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("libc10")));
}

TEST_F(ProgramCli, BashCompletes) {
  const auto complete = [this](const std::string& line) {
    // The words of `line`, the last one being typed.
    return shell(fmt::format("bash -c 'source <(nestvit completion bash); COMP_WORDS=({}); "
                             "COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _nestvit; "
                             "printf \"%s\\n\" \"${{COMPREPLY[@]}}\"'",
                             line))
        .out;
  };
  EXPECT_EQ(complete("nestvit pre"), "predict\npreprocess\n");
  EXPECT_EQ(complete("nestvit predict --fo"), "--format\n");
  EXPECT_EQ(complete("nestvit predict --format j"), "json\njsonl\n");
  EXPECT_EQ(complete("nestvit completion z"), "zsh\n");
  fs::create_directories(path("models"));
  write_image("photo.png", {0, 0, 0});
  EXPECT_EQ(complete("nestvit eval --model mod"), "models\n");
  EXPECT_EQ(complete("nestvit predict phot"), "photo.png\n");
}

TEST_F(ProgramCli, EveryShellKnowsEveryOption) {
  const std::string help = nestvit("predict --help").out;
  for (const char* shell_name : {"bash", "zsh", "fish"}) {
    const Outcome outcome = nestvit(std::string("completion ") + shell_name);
    EXPECT_EQ(outcome.code, 0);
    for (const std::string option : {"topk", "on-bad-image", "sheet", "class-order"}) {
      EXPECT_THAT(help, HasSubstr("--" + option));
      EXPECT_THAT(outcome.out, HasSubstr(option)) << shell_name;
    }
  }
  expect_failure(nestvit("completion tcsh"), 2, {"tcsh", "bash, zsh, fish"});
}

// The sibling is looked for beside the program, then on PATH: a copy of nestvit in a folder of its
// own shows both.
class SiblingCli : public CliTest {
 protected:
  void SetUp() override {
    fs::create_directories(path("bin"));
    fs::create_directories(path("elsewhere"));
    fs::copy_file(fs::path(NESTVIT_BIN_DIR) / "nestvit", path("bin/nestvit"));
  }
  void install(const std::string& where, const std::string& name) const {
    std::ofstream(path(where)) << "#!/bin/sh\necho " << name << " \"$@\"\nexit 7\n";
    fs::permissions(path(where), fs::perms::owner_all);
  }
};

TEST_F(SiblingCli, MissingIsExplained) {
  for (const char* command : {"train photos", "eval --model m --data-dir d --engine torch"}) {
    const Outcome outcome = shell(std::string("PATH=/usr/bin:/bin bin/nestvit ") + command);
    expect_failure(outcome, 1, {"nestvit-train", "PATH", "hint:"});
  }
}

TEST_F(SiblingCli, GetsAllArgumentsAndItsExitCodeIsOurs) {
  install("elsewhere/nestvit-train", "elsewhere");
  Outcome outcome =
      shell("PATH=\"$PWD/elsewhere:/usr/bin:/bin\" bin/nestvit train 'a b' --config.nest.x=1");
  EXPECT_EQ(outcome.code, 7);
  EXPECT_EQ(outcome.out, "elsewhere train a b --config.nest.x=1\n");
  install("bin/nestvit-train", "beside");
  outcome = shell(
      "PATH=\"$PWD/elsewhere:/usr/bin:/bin\" bin/nestvit run --model m --input i --output o "
      "--engine torch");
  EXPECT_EQ(outcome.code, 7);
  EXPECT_EQ(outcome.out, "beside run --model m --input i --output o --engine torch\n");
}

}  // namespace
}  // namespace nestvit::testing
