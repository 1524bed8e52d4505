// hf://: the hub's protocol, and a cache that is that of huggingface_hub.
#include "hub/sources/hf.h"

#include "hub/hub.h"
#include "hub/sources/answers.h"
#include "support/hub/fake_hub.h"
#include "support/hub/hub_test.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kName = "hf://timm/nest_tiny_jx.goog_in1k";

class HuggingFace : public HubTest {
 protected:
  HuggingFace() { set("HF_ENDPOINT", hub_.url() + "/"); }

  fs::path pull(const std::string& name = kName) { return pull_from_hf(name, transport()); }
  fs::path repo() const {
    return path(".cache/huggingface/hub/models--timm--nest_tiny_jx.goog_in1k");
  }

  // A cache as huggingface_hub leaves it.
  void write_cache(const std::string& commit, const std::string& weights) const {
    const fs::path snapshot = repo() / "snapshots" / commit;
    fs::create_directories(snapshot);
    fs::create_directories(repo() / "blobs");
    fs::create_directories(repo() / "refs");
    write_file(repo() / "refs/main", std::string_view(commit));
    for (const std::string& file : {std::string("config.json"), weights}) {
      write_file(repo() / "blobs" / ("etag-of-" + file), "cached " + file);
      fs::create_symlink("../../blobs/etag-of-" + file, snapshot / file);
    }
  }

  FakeHub hub_;
};

TEST_F(HuggingFace, FetchesDescriptionAndWeights) {
  const fs::path snapshot = pull();
  EXPECT_EQ(snapshot, repo() / "snapshots" / FakeHub::kCommit);
  EXPECT_THAT(names_in(snapshot), ElementsAre("config.json", "model.safetensors"));
  for (const std::string file : {"config.json", "model.safetensors"}) {
    const std::string etag = FakeHub::etag(hub_.files.at(file));
    EXPECT_EQ(read_text(snapshot / file), hub_.files.at(file).content);
    EXPECT_EQ(fs::read_symlink(snapshot / file), fs::path("../../blobs") / etag);
    EXPECT_TRUE(fs::is_regular_file(repo() / "blobs" / etag));
  }
  EXPECT_EQ(read_text(repo() / "refs/main"), FakeHub::kCommit);
  EXPECT_THAT(names_in(repo()), ElementsAre("blobs", "refs", "snapshots"));
  EXPECT_EQ(names_in(repo() / "blobs").size(), 2);  // no parts
}

TEST_F(HuggingFace, AgainAsksForTheCommitOnly) {
  pull();
  const size_t before = hub_.server().asked().size();
  EXPECT_EQ(pull(), repo() / "snapshots" / FakeHub::kCommit);
  EXPECT_EQ(hub_.server().asked().size(), before + 1);
  EXPECT_EQ(hub_.cdn().asked().size(), 1);
}

TEST_F(HuggingFace, TokenGoesToTheHubAlone) {
  hub_.token = "hf_secret";
  set("HF_TOKEN", " hf_secret\n");
  pull();
  for (const Asked& asked : hub_.cdn().asked()) EXPECT_EQ(asked.header("authorization"), "");
  EXPECT_EQ(hub_.cdn().asked().size(), 1);
}

TEST_F(HuggingFace, TokenOfALoginIsFound) {
  hub_.token = "hf_secret";
  set("HF_HOME", path("home").string());
  fs::create_directories(path("home"));
  write_file(path("home/token"), std::string_view("hf_secret\n"));
  EXPECT_THAT(pull().string(), HasSubstr("home/hub/models--timm"));
}

TEST_F(HuggingFace, TokenWithLineBreaksIsRefused) {
  set("HF_TOKEN", "hf_a\r\nX-Evil: 1");
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("HF_TOKEN"));
  EXPECT_TRUE(hub_.server().asked().empty());
}

TEST_F(HuggingFace, PlacesOfTheCache) {
  set("XDG_CACHE_HOME", path("xdg").string());
  EXPECT_THAT(pull().string(), HasSubstr("/xdg/huggingface/hub/models--"));
  set("HF_HOME", "~/home");
  EXPECT_EQ(pull(),
            path("home/hub/models--timm--nest_tiny_jx.goog_in1k/snapshots") / FakeHub::kCommit);
  set("HF_HUB_CACHE", path("cache").string());
  EXPECT_THAT(pull().string(), HasSubstr("/cache/models--"));
}

TEST_F(HuggingFace, RevisionsOfAllKinds) {
  pull(std::string(kName) + "@v1");
  EXPECT_EQ(read_text(repo() / "refs/v1"), FakeHub::kCommit);
  pull(std::string(kName) + "@refs/pr/1");
  EXPECT_EQ(read_text(repo() / "refs/refs/pr/1"), FakeHub::kCommit);
  const size_t before = hub_.server().asked().size();
  pull(std::string(kName) + "@" + FakeHub::kCommit);  // never changes: nothing is asked
  EXPECT_EQ(hub_.server().asked().size(), before);
  EXPECT_THAT(error_of([&] { pull(std::string(kName) + "@v2"); }),
              HasSubstr("has no revision \"v2\""));
}

TEST_F(HuggingFace, OldWeightsWhenThereAreNoOthers) {
  hub_.files.erase("model.safetensors");
  EXPECT_THAT(names_in(pull()), ElementsAre("config.json", "pytorch_model.bin"));
}

TEST_F(HuggingFace, WeightsInPartsCompleteOrNotAtAll) {
  hub_.files.erase("model.safetensors");
  hub_.files["model.safetensors.index.json"].content =
      R"({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}})";
  hub_.files["one.safetensors"].content = "1";
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("has no model"));
  set("HF_HUB_OFFLINE", "1");
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("is not in the cache"));
  set("HF_HUB_OFFLINE", "0");
  hub_.files["two.safetensors"].content = "2";
  for (const char* offline : {"0", "1"}) {
    set("HF_HUB_OFFLINE", offline);
    EXPECT_THAT(names_in(pull()), ElementsAre("config.json", "model.safetensors.index.json",
                                              "one.safetensors", "two.safetensors"));
  }
}

TEST_F(HuggingFace, RepoWithoutAModel) {
  hub_.files.erase("model.safetensors");
  hub_.files.erase("pytorch_model.bin");
  EXPECT_THAT(error_of([&] { pull(); }),
              HasSubstr("has no model.safetensors and no pytorch_model.bin"));
  hub_.files.erase("config.json");
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("has no config.json"));
}

TEST_F(HuggingFace, MirrorWithoutTheApi) {
  hub_.has_api = false;
  EXPECT_THAT(names_in(pull()), ElementsAre("config.json", "model.safetensors"));
  EXPECT_EQ(read_text(repo() / "refs/main"), FakeHub::kCommit);
}

TEST_F(HuggingFace, ContinuesAfterACut) {
  hub_.cut_after = 60'000;
  const fs::path snapshot = pull();
  EXPECT_EQ(read_text(snapshot / "model.safetensors"), hub_.files.at("model.safetensors").content);
  ASSERT_EQ(hub_.cdn().asked().size(), 2);
  EXPECT_EQ(hub_.cdn().asked()[1].header("range"), "bytes=60000-");
}

TEST_F(HuggingFace, ContinuesAnEarlierRun) {
  const FakeHub::File& file = hub_.files.at("model.safetensors");
  fs::create_directories(repo() / "blobs");
  write_file(repo() / "blobs" / (FakeHub::etag(file) + ".incomplete"),
             std::string_view(file.content).substr(0, 99));
  EXPECT_EQ(read_text(pull() / "model.safetensors"), file.content);
  EXPECT_EQ(hub_.cdn().asked().at(0).header("range"), "bytes=99-");
}

TEST_F(HuggingFace, DamagedFilesDoNotStay) {
  for (const std::string file : {"config.json", "model.safetensors"}) {
    FakeHub::File& served = hub_.files.at(file);
    const FakeHub::File before = served;
    served.etag = FakeHub::etag(served);
    served.content[0] ^= 1;
    EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("damaged"));
    EXPECT_FALSE(fs::exists(repo() / "snapshots" / FakeHub::kCommit / file));
    EXPECT_FALSE(fs::exists(repo() / "blobs" / served.etag));
    EXPECT_FALSE(fs::exists(repo() / "refs/main"));
    served = before;
  }
  pull();
}

TEST_F(HuggingFace, CacheOfPythonIsUsed) {
  write_cache(FakeHub::kCommit, "model.safetensors");
  const fs::path snapshot = pull();
  EXPECT_EQ(read_text(snapshot / "model.safetensors"), "cached model.safetensors");
  EXPECT_EQ(hub_.server().asked().size(), 1);
}

TEST_F(HuggingFace, CacheThatMayNotBeWrittenServes) {
  pull();
  const auto may_write = fs::perms::owner_write;
  for (const fs::path& folder : {repo(), repo() / "refs", repo() / "blobs", repo() / "snapshots"})
    fs::permissions(folder, may_write, fs::perm_options::remove);
  EXPECT_EQ(pull(), repo() / "snapshots" / FakeHub::kCommit);
  EXPECT_EQ(pull(std::string(kName) + "@v1"), repo() / "snapshots" / FakeHub::kCommit);
  for (const fs::path& folder : {repo(), repo() / "refs", repo() / "blobs", repo() / "snapshots"})
    fs::permissions(folder, may_write, fs::perm_options::add);
}

TEST_F(HuggingFace, BlobOfAnotherCommitIsLinked) {
  const FakeHub::File& file = hub_.files.at("model.safetensors");
  fs::create_directories(repo() / "blobs");
  write_file(repo() / "blobs" / FakeHub::etag(file), std::string_view(file.content));
  EXPECT_EQ(read_text(pull() / "model.safetensors"), file.content);
  EXPECT_TRUE(hub_.cdn().asked().empty());
}

TEST_F(HuggingFace, BrokenLinksAreReplaced) {
  pull();
  fs::remove(repo() / "blobs" / FakeHub::etag(hub_.files.at("model.safetensors")));
  EXPECT_EQ(read_text(pull() / "model.safetensors"), hub_.files.at("model.safetensors").content);
}

TEST_F(HuggingFace, OfflineUsesTheCacheAlone) {
  for (const char* yes : {"1", "true", "YES", "on"}) {
    set("HF_HUB_OFFLINE", yes);
    const std::string error = error_of([&] { pull(); });
    EXPECT_THAT(error, HasSubstr("not in the cache"));
    EXPECT_THAT(error, HasSubstr("HF_HUB_OFFLINE"));
  }
  write_cache("feed", "pytorch_model.bin");
  EXPECT_EQ(pull(), repo() / "snapshots/feed");
  fs::remove(repo() / "snapshots/feed/pytorch_model.bin");  // half a snapshot is none
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("not in the cache"));
  EXPECT_TRUE(hub_.server().asked().empty());
}

TEST_F(HuggingFace, WithoutANetworkTheCacheServes) {
  set("HF_ENDPOINT", "http://127.0.0.1:9");
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("cannot reach 127.0.0.1"));
  write_cache("feed", "model.safetensors");
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(pull(), repo() / "snapshots/feed");
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("warning: cannot reach 127.0.0.1"));
  EXPECT_THAT(said, HasSubstr("going on with the cached \"main\""));
}

TEST_F(HuggingFace, HubInTroubleTheCacheServes) {
  hub_.broken = true;
  write_cache("feed", "model.safetensors");
  EXPECT_EQ(pull(), repo() / "snapshots/feed");
  EXPECT_TRUE(waits().empty());  // at once
}

TEST_F(HuggingFace, RefusalsAreErrorsEvenWithACache) {
  write_cache("feed", "model.safetensors");
  hub_.token = "hf_secret";
  const std::string error = error_of([&] { pull(); });
  EXPECT_THAT(error, HasSubstr("401"));
  EXPECT_THAT(error, HasSubstr("HF_TOKEN"));
}

TEST_F(HuggingFace, GatedModelsSayWhereToAskForThem) {
  hub_.gated = true;
  const std::string error = error_of([&] { pull(); });
  EXPECT_THAT(error,
              HasSubstr("accept the licence at " + hub_.url() + "/timm/nest_tiny_jx.goog_in1k"));
  EXPECT_THAT(error, HasSubstr("HF_TOKEN"));
}

TEST_F(HuggingFace, NamesThatAreNotThere) {
  hub_.id = "somebody/else";
  EXPECT_THAT(error_of([&] { pull("hf://timm/nest_tiny_jx.gogo_in1k"); }),
              HasSubstr("did you mean hf://timm/nest_tiny_jx.goog_in1k?"));
  EXPECT_THAT(error_of([&] { pull("hf://nobody/nothing"); }),
              HasSubstr("no model nobody/nothing at \"main\""));
}

TEST_F(HuggingFace, MalformedNames) {
  for (const char* name :
       {"hf://", "hf://timm", "hf://timm/", "hf:///x", "hf://a/b/c", "hf://../x", "hf://a/..",
        "hf://a/b@", "hf://a/b@../../x", "hf://a/b@x//y", "hf://a/b@.hidden", "hf://a/b?x",
        "hf://a/b@x y", "hf://-a/b", "hf://a/b%2e"})
    EXPECT_THROW(pull(name), UsageError) << name;
  EXPECT_TRUE(hub_.server().asked().empty());
}

TEST_F(HuggingFace, EtagsThatAreNoNames) {
  for (const char* etag : {"../../../x", "a/b", ".hidden", "a b"}) {
    hub_.files.at("config.json").etag = etag;
    EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("no usable ETag")) << etag;
  }
  EXPECT_THAT(names_in(repo() / "blobs"), IsEmpty());
}

}  // namespace
}  // namespace nestvit::testing
