// nestvit pull: the program against local servers that speak the protocols of the hub and of the
// cloud.
#include "support/cli_test.h"
#include "support/hub/fake_hub.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kName = "hf://timm/nest_tiny_jx.goog_in1k";

class PullCli : public CliTest {
 protected:
  // Only what a test names: no cache, token or proxy of whoever runs it.
  Outcome pull(const std::string& arguments, const std::string& environment = "") const {
    return shell(fmt::format(
        "env -i PATH=\"$PATH\" LD_LIBRARY_PATH=\"$LD_LIBRARY_PATH\" HOME='{}' NO_COLOR=1 "
        "HF_ENDPOINT='{}' STORAGE_EMULATOR_HOST=127.0.0.1:9 "
        "NESTVIT_DATASET_MIRROR=http://127.0.0.1:9 {} nestvit pull {}",
        path("").string(), hub_.url(), environment, arguments));
  }
  // The one line on stdout.
  static std::string line(const Outcome& outcome) {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
    return outcome.out.substr(0, outcome.out.find('\n'));
  }

  FakeHub hub_;
};

TEST_F(PullCli, ModelOfTheHub) {
  const Outcome outcome = pull(kName);
  const fs::path snapshot = line(outcome);
  EXPECT_EQ(snapshot,
            path(".cache/huggingface/hub/models--timm--nest_tiny_jx.goog_in1k/snapshots") /
                FakeHub::kCommit);
  EXPECT_EQ(read_text(snapshot / "model.safetensors"), hub_.files.at("model.safetensors").content);
  EXPECT_EQ(read_text(snapshot / "config.json"), hub_.files.at("config.json").content);
  EXPECT_THAT(outcome.err, HasSubstr("model.safetensors 200000/200000 (100 %)"));
  const Outcome offline = pull(kName, "HF_HUB_OFFLINE=1");
  EXPECT_EQ(line(offline), snapshot.string());
  EXPECT_EQ(offline.err, "");
}

// A hub's name wherever a model is asked for: fetched once, then as if it lay here.
TEST_F(PullCli, VerbsTakeTheHubsName) {
  save("model", tiny_model());
  write_image("photo.png", {90, 40, 200});
  for (const char* file : {"config.json", "model.safetensors"})
    hub_.files.at(file).content = text(std::string("model/") + file);
  const std::string predict = "predict photo.png --format csv --model ";
  const Outcome local = nestvit(predict + "model");
  for (int time = 0; time < 2; ++time) {
    const Outcome remote = shell(
        fmt::format("unset HF_HOME HF_HUB_CACHE HF_TOKEN XDG_CACHE_HOME http_proxy all_proxy; "
                    "HOME='{}' HF_ENDPOINT='{}' nestvit {} {}",
                    path("").string(), hub_.url(), predict, kName));
    EXPECT_EQ(remote.code, 0) << remote.err;
    EXPECT_EQ(remote.out, local.out);
  }
  EXPECT_EQ(hub_.cdn().asked().size(), 1);
}

TEST_F(PullCli, QuietSaysNothing) {
  const Outcome outcome = pull(std::string("--quiet --revision v1 ") + kName);
  line(outcome);
  EXPECT_EQ(outcome.err, "");
  EXPECT_EQ(hub_.server().count("GET", "/api/models/timm/nest_tiny_jx.goog_in1k/revision/v1"), 1);
}

TEST_F(PullCli, OutputFolder) {
  const Outcome outcome = pull(std::string(kName) + " --output my/model");
  EXPECT_EQ(line(outcome), "my/model");
  EXPECT_EQ(text("my/model/model.safetensors"), hub_.files.at("model.safetensors").content);
}

TEST_F(PullCli, InterruptedConnectionGoesOn) {
  hub_.cut_after = 50'000;
  const fs::path snapshot = line(pull(kName));
  EXPECT_EQ(read_text(snapshot / "model.safetensors"), hub_.files.at("model.safetensors").content);
  EXPECT_EQ(hub_.cdn().asked().at(1).header("range"), "bytes=50000-");
}

TEST_F(PullCli, ProcessesShareTheCache) {
  const std::string both = fmt::format(
      "export HOME='{}' HF_ENDPOINT='{}' no_proxy=127.0.0.1; unset HF_HOME HF_HUB_CACHE HF_TOKEN "
      "XDG_CACHE_HOME; "
      "for i in 1 2 3 4; do nestvit pull {} >out$i 2>err$i & done; wait",
      path("").string(), hub_.url(), kName);
  shell(both);
  for (int i = 1; i <= 4; ++i)
    EXPECT_THAT(text(fmt::format("out{}", i)), HasSubstr(FakeHub::kCommit))
        << text(fmt::format("err{}", i));
  EXPECT_EQ(hub_.cdn().asked().size(), 1);
}

TEST_F(PullCli, TokenIsSentAndNeverShown) {
  hub_.token = "hf_secret";
  const Outcome refused = pull(kName);
  expect_failure(refused, 1, {"nest_tiny_jx.goog_in1k", "401", "HF_TOKEN"});
  const Outcome wrong = pull(kName, "HF_TOKEN=hf_wrong");
  expect_failure(wrong, 1, {"the token that is set"});
  EXPECT_THAT(wrong.err, Not(HasSubstr("hf_wrong")));
  line(pull(kName, "HF_TOKEN=hf_secret"));
}

TEST_F(PullCli, ErrorsByTheirCause) {
  expect_failure(
      pull("hf://timm/nest_tiny_jx.gogo_in1k"), 1,
      {"no model timm/nest_tiny_jx.gogo_in1k", "did you mean hf://timm/nest_tiny_jx.goog_in1k?"});
  expect_failure(pull(std::string(kName) + "@v9"), 1, {"no revision \"v9\""});
  expect_failure(pull(kName, "HF_ENDPOINT=http://127.0.0.1:9"), 1,
                 {"cannot reach 127.0.0.1", "gave up after 2 tries"});
  expect_failure(pull(kName, "HF_HUB_OFFLINE=1"), 1, {"not in the cache", "HF_HUB_OFFLINE"});
  hub_.files.at("config.json").etag = std::string(40, '0');
  expect_failure(pull(kName), 1, {"config.json", "damaged", std::string(40, '0')});
  hub_.gated = true;
  expect_failure(pull(kName), 1, {"accept the licence"});
}

TEST_F(PullCli, DatasetWithAWrongChecksum) {
  HttpServer mirror([](const Asked& a, const Wire& w) {
    serve_file(w, a, std::string(170'052'171 / 1000, 'x'));
  });
  // The length alone is wrong already; a dataset whose length is not known gets as far as its
  // checksum.
  expect_failure(pull("cifar10", "NESTVIT_DATASET_MIRROR=" + mirror.url()), 1,
                 {"cifar-10-binary.tar.gz", "170052171 are expected"});
  expect_failure(
      pull("cifar100 --output sets/c100", "NESTVIT_DATASET_MIRROR=" + mirror.url("/mirror/")), 1,
      {"cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"});
  EXPECT_EQ(mirror.asked().back().path, "/mirror/cifar100/cifar-100-binary.tar.gz");
  EXPECT_FALSE(fs::exists(path("sets/c100")));
}

TEST_F(PullCli, CheckpointFolderOfTheCloud) {
  const std::string flax = noise(5000);
  HttpServer cloud([&](const Asked& a, const Wire& w) {
    const std::string list =
        R"({"items": [{"name": "nest-t/checkpoint", "size": "32", "generation": "1"},
                      {"name": "nest-t/ckpt-39.flax", "size": "5000", "generation": "1"}]})";
    if (a.path == "/storage/v1/b/gresearch/o") return answer(w, a, 200, list);
    if (a.path.ends_with("nest-t%2Fcheckpoint"))
      return answer(w, a, 200, "model_checkpoint_path: \"ckpt-39\"");
    if (a.path.ends_with("nest-t%2Fckpt-39.flax")) return serve_file(w, a, flax);
    answer(w, a, 404, "");
  });
  const fs::path folder =
      line(pull("gs://gresearch/nest-t/ckpt.39", "STORAGE_EMULATOR_HOST=" + cloud.url()));
  EXPECT_EQ(folder, path(".cache/nestvit/gs/gresearch/nest-t"));
  EXPECT_EQ(read_text(folder / "ckpt-39.flax"), flax);
}

TEST_F(PullCli, WebAddress) {
  HttpServer server([](const Asked& a, const Wire& w) { serve_file(w, a, "weights"); });
  EXPECT_EQ(read_text(line(pull(server.url("/nest.pth")))), "weights");
  EXPECT_EQ(line(pull(server.url("/nest.pth") + " --output here")), "here/nest.pth");
  EXPECT_EQ(text("here/nest.pth"), "weights");
}

TEST_F(PullCli, MistakesAreUsageErrors) {
  expect_failure(pull(""), 2, {"NAME"});
  expect_failure(pull("cifar11"), 2, {"did you mean \"cifar10"});
  expect_failure(pull("timm/nest_tiny_jx.goog_in1k"), 2,
                 {"did you mean \"hf://timm/nest_tiny_jx.goog_in1k\"?"});
  expect_failure(pull("./model"), 2, {"hf://OWNER/NAME"});
  expect_failure(pull("hf://timm"), 2, {"hf://OWNER/NAME"});
  expect_failure(pull("gs://bucket"), 2, {"gs://BUCKET/PATH"});
  expect_failure(pull("ftp://host/x"), 2, {"https://HOST/FILE"});
  expect_failure(pull("cifar10 --revision main"), 2, {"--revision"});
  expect_failure(pull(std::string(kName) + "@v1 --revision main"), 2, {"--revision"});
}

TEST_F(PullCli, HelpWithExamples) {
  const Outcome outcome = nestvit("pull --help");
  EXPECT_EQ(outcome.code, 0);
  for (const char* word : {"examples:", "HF_TOKEN", "HF_HUB_OFFLINE", "NESTVIT_DATASET_MIRROR",
                           "--output", "imagenette"})
    EXPECT_THAT(outcome.out, HasSubstr(word));
}

}  // namespace
}  // namespace nestvit::testing
