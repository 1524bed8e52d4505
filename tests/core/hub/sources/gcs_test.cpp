// gs://: buckets by the JSON API, pages, checksums and the newest checkpoint.
#include "hub/sources/gcs.h"

#include <nlohmann/json.hpp>

#include "hub/hub.h"
#include "hub/sources/answers.h"
#include "support/hub/hub_test.h"

namespace nestvit::testing {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string base64_of_hex(const std::string& hex) {
  const std::string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  uint32_t bits = 0;
  int count = 0;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bits = (bits << 8) | static_cast<uint32_t>(std::stoul(hex.substr(i, 2), nullptr, 16));
    for (count += 8; count >= 6; count -= 6) text += letters[(bits >> (count - 6)) & 63];
  }
  if (count > 0) text += letters[(bits << (6 - count)) & 63];
  while (text.size() % 4 != 0) text += '=';
  return text;
}

class CloudStorage : public HubTest {
 protected:
  CloudStorage() : server_([this](const Asked& a, const Wire& w) { serve(a, w); }) {
    set("STORAGE_EMULATOR_HOST", server_.url());
  }
  fs::path pull(const std::string& name = "gs://gresearch/nest-checkpoints/nest-t_imagenet") {
    return pull_from_gcs(name, transport());
  }
  fs::path cache() const {
    return path(".cache/nestvit/gs/gresearch/nest-checkpoints/nest-t_imagenet");
  }

  json describe(const std::string& name) const {
    const std::string& content = objects_.at(name);
    json object = {
        {"kind", "storage#object"},
        {"name", name},
        {"generation", "1620000000000000"},
        {"size", std::to_string(content.size())},
        {"crc32c", base64_of_hex(lie_.empty() ? digest_text(DigestKind::kCrc32c, content) : lie_)}};
    if (with_md5_) object["md5Hash"] = base64_of_hex(digest_text(DigestKind::kMd5, content));
    return object;
  }

  void serve(const Asked& a, const Wire& w) {
    const std::string root = "/storage/v1/b/gresearch/o";
    if (status_ != 200) return answer(w, a, status_, "");
    if (a.path == root) return serve_list(a, w);
    if (!a.path.starts_with(root + "/")) return answer(w, a, 404, "");
    const std::string name = http_unescape(a.path.substr(root.size() + 1));
    if (!objects_.contains(name)) return answer(w, a, 404, "");
    if (a.target.find("alt=media") == std::string::npos)
      return answer(w, a, 200, describe(name).dump());
    EXPECT_THAT(a.target, HasSubstr("generation=1620000000000000"));
    serve_file(w, a, objects_.at(name));
  }

  void serve_list(const Asked& a, const Wire& w) {
    const auto query = [&](const std::string& key) {
      const size_t at = a.target.find(key + "=");
      if (at == std::string::npos) return std::string();
      const std::string value = a.target.substr(at + key.size() + 1);
      return http_unescape(value.substr(0, value.find('&')));
    };
    // One object per page, so that pages matter.
    json page = {{"kind", "storage#objects"}};
    auto at = objects_.lower_bound(std::max(query("prefix"), query("pageToken")));
    if (at != objects_.end() && at->first.starts_with(query("prefix"))) {
      page["items"].push_back(describe(at->first));
      if (++at != objects_.end() && at->first.starts_with(query("prefix")))
        page["nextPageToken"] = at->first;
    }
    if (endless_) page["nextPageToken"] = "again";
    answer(w, a, 200, page.dump());
  }

  const std::string folder_ = "nest-checkpoints/nest-t_imagenet/";
  std::map<std::string, std::string> objects_ = {
      {folder_, ""},  // the console makes such an object for a folder
      {folder_ + "checkpoint",
       "model_checkpoint_path: \"ckpt-39\"\nall_model_checkpoint_paths: \"ckpt-38\"\n"
       "all_model_checkpoint_paths: \"ckpt-39\"\n"},
      {folder_ + "ckpt-38.flax", noise(1000, 3)},
      {folder_ + "ckpt-39.flax", noise(100'000, 4)},
      {folder_ + "ckpt-39.index", "index"},
      {folder_ + "ckpt-39.data-00000-of-00001", "data"},
      {folder_ + "ckpt-390.flax", "another number"},
      {folder_ + "deeper/ckpt-39.flax", "elsewhere"},
      {"nest-checkpoints/nest-t_imagenet2/checkpoint", "a neighbour"}};
  bool with_md5_ = true, endless_ = false;
  std::string lie_;
  int status_ = 200;
  HttpServer server_;
};

TEST_F(CloudStorage, FetchesTheNewestCheckpoint) {
  EXPECT_EQ(pull(), cache());
  EXPECT_THAT(names_in(cache()), ElementsAre("checkpoint", "ckpt-39.data-00000-of-00001",
                                             "ckpt-39.flax", "ckpt-39.index"));
  EXPECT_EQ(read_text(cache() / "ckpt-39.flax"), objects_.at(folder_ + "ckpt-39.flax"));
  EXPECT_EQ(read_text(cache() / "checkpoint"), objects_.at(folder_ + "checkpoint"));
  const size_t before = server_.asked().size();
  EXPECT_EQ(pull(), cache());
  EXPECT_EQ(server_.asked().size(), before);  // it is there
}

TEST_F(CloudStorage, TheReferencesOwnNames) {
  for (const char* name : {"gs://gresearch/nest-checkpoints/nest-t_imagenet/",
                           "gs://gresearch/nest-checkpoints/nest-t_imagenet/ckpt.39",
                           "gs://gresearch/nest-checkpoints/nest-t_imagenet/ckpt-1"})
    EXPECT_EQ(pull(name), cache()) << name;
}

TEST_F(CloudStorage, EmulatorsAreNamedInTwoWays) {
  set("STORAGE_EMULATOR_HOST", server_.url().substr(std::string("http://").size()));
  EXPECT_EQ(pull(), cache());
}

TEST_F(CloudStorage, OneObject) {
  const fs::path file = pull("gs://gresearch/nest-checkpoints/nest-t_imagenet/ckpt-39.flax");
  EXPECT_EQ(file, cache() / "ckpt-39.flax");
  EXPECT_EQ(read_text(file), objects_.at(folder_ + "ckpt-39.flax"));
}

TEST_F(CloudStorage, ChecksumsOfBothKinds) {
  with_md5_ = false;
  pull();
  fs::remove_all(cache());
  lie_ = "deadbeef";
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("CRC32C"));
  EXPECT_THAT(names_in(cache()), IsEmpty());
}

TEST_F(CloudStorage, DamagedContent) {
  objects_[folder_ + "ckpt-39.flax"] = noise(100'000, 4);
  with_md5_ = false;
  lie_ = digest_text(DigestKind::kCrc32c,
                     objects_.at(folder_ + "checkpoint"));  // right for the text alone
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("damaged"));
  EXPECT_FALSE(fs::exists(cache() / "checkpoint"));
  EXPECT_FALSE(fs::exists(cache() / "ckpt-39.flax"));
}

TEST_F(CloudStorage, FoldersThatAreNoCheckpoint) {
  objects_.erase(folder_ + "checkpoint");
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("nest-t_imagenet/checkpoint"));
  objects_[folder_ + "checkpoint"] = "nothing";
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("names no checkpoint"));
  objects_[folder_ + "checkpoint"] = "model_checkpoint_path: \"ckpt-7\"";
  EXPECT_THAT(error_of([&] { pull(); }),
              HasSubstr("no gs://gresearch/nest-checkpoints/nest-t_imagenet/ckpt-7.flax"));
}

TEST_F(CloudStorage, Refusals) {
  EXPECT_THAT(error_of([&] { pull("gs://gresearch/nowhere/at-all"); }),
              HasSubstr("there is no gs://gresearch/nowhere/at-all"));
  status_ = 401;
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("is not public (401)"));
  status_ = 200;
  endless_ = true;
  EXPECT_THAT(error_of([&] { pull(); }), HasSubstr("too many objects"));
  EXPECT_LE(server_.asked().size(), 60);
}

TEST_F(CloudStorage, MalformedNames) {
  for (const char* name :
       {"gs://", "gs://bucket", "gs://bucket/", "gs:///path", "gs://bucket//path",
        "gs://bucket/../path", "gs://bucket/path/..", "gs://bucket/a?b", "gs://../path"})
    EXPECT_THROW(pull(name), UsageError) << name;
  EXPECT_TRUE(server_.asked().empty());
}

}  // namespace
}  // namespace nestvit::testing
