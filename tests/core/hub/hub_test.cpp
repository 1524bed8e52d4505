// Which names are remote, and where what was pulled is put.
#include "hub/hub.h"

#include "hub/cache.h"
#include "support/hub/fake_hub.h"
#include "support/hub/hub_test.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Pull : public HubTest {
 protected:
  static PullOptions into(const fs::path& target) {
    PullOptions options;
    options.progress = false;
    options.target = target;
    return options;
  }
};

TEST_F(Pull, RemoteNamesHaveAScheme) {
  for (const char* name : {"hf://a/b", "gs://a/b", "https://a/b", "http://a/b"})
    EXPECT_TRUE(is_remote(name));
  for (const char* name : {"a/b", "/a", "hf:/a", "file:///a", "cifar10", "./hf://a"})
    EXPECT_FALSE(is_remote(name));
  EXPECT_THROW(pull_model("a/b"), UsageError);
}

TEST_F(Pull, UnknownDatasetsNameTheNearest) {
  expect_error<UsageError>([] { pull_dataset("cifar11"); },
                           {"\"cifar11\"", "did you mean \"cifar10"});
  expect_error<UsageError>([] { pull_dataset("zzzzzzzz"); }, {"fashion-mnist, cifar10"});
}

TEST_F(Pull, ATargetGetsCopies) {
  FakeHub hub;
  set("HF_ENDPOINT", hub.url() + "/");
  const fs::path target = path("here/model");
  EXPECT_EQ(pull_model("hf://" + hub.id, into(target)), target);
  EXPECT_THAT(names_in(target), ElementsAre("config.json", "model.safetensors"));
  EXPECT_FALSE(fs::is_symlink(target / "config.json"));
  EXPECT_EQ(read_text(target / "model.safetensors"), hub.files.at("model.safetensors").content);
  // Who edits a copy does not change the cache.
  write_file(target / "config.json", std::string_view("edited"));
  EXPECT_EQ(read_text(pull_model("hf://" + hub.id, into({})) / "config.json"),
            hub.files.at("config.json").content);
}

TEST_F(Pull, AFileIsCopiedIntoTheTarget) {
  HttpServer server([](const Asked& a, const Wire& w) { serve_file(w, a, "weights"); });
  EXPECT_EQ(pull_model(server.url("/nest.pth"), into(path("here"))), path("here/nest.pth"));
  EXPECT_EQ(read_text(path("here/nest.pth")), "weights");
  EXPECT_EQ(pull_model(server.url("/nest.pth"), into({})).parent_path().parent_path(),
            path(".cache/nestvit/url"));
  EXPECT_EQ(server.asked().size(), 1u);
}

TEST_F(Pull, TheCacheIsWhereTheEnvironmentSays) {
  EXPECT_EQ(nestvit_cache(), path(".cache/nestvit"));
  set("XDG_CACHE_HOME", path("xdg").string());
  EXPECT_EQ(nestvit_cache(), path("xdg/nestvit"));
  ::unsetenv("XDG_CACHE_HOME");
  ::unsetenv("HOME");
  EXPECT_THAT(error_of([] { nestvit_cache(); }), HasSubstr("HOME is not set"));
}

}  // namespace
}  // namespace nestvit::testing
