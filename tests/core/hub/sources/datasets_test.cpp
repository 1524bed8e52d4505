// pull fashion-mnist and its like: stand-ins with checksums of their own.
#include "hub/sources/datasets.h"

#include "hub/hub.h"
#include "support/hub/hub_test.h"
#include "support/hub/tar_maker.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Datasets : public HubTest {
 protected:
  Datasets() : server_([this](const Asked& a, const Wire& w) { serve(a, w); }) {}

  void serve(const Asked& a, const Wire& w) {
    const auto file = files_.find(a.path.substr(a.path.rfind('/') + 1));
    if (file == files_.end() || a.path.starts_with("/away/")) return answer(w, a, 404, "");
    const size_t cut = std::exchange(cut_, 0);
    cut > 0 ? serve_cut(w, a, file->second, cut) : serve_file(w, a, file->second);
  }

  DatasetSource archive() const {
    const std::string& content = files_.at("toy.tar.gz");
    return {"toy",
            {server_.url("/data/")},
            {{"toy.tar.gz", digest_text(DigestKind::kMd5, content), content.size(), "", 0}},
            {"data_batch_1.bin", "test_batch.bin"},
            {1 << 20, 10}};
  }
  DatasetSource singles() const {
    DatasetSource source = {"idx", {server_.url("/")}, {}, {"images", "labels"}, {}};
    for (const auto& [name, size] : {std::pair("images", 5000), std::pair("labels", 8)})
      source.files.push_back({std::string(name) + ".gz",
                              digest_text(DigestKind::kMd5, files_.at(std::string(name) + ".gz")),
                              0, name, static_cast<uint64_t>(size)});
    return source;
  }

  std::map<std::string, std::string> files_ = {
      {"toy.tar.gz", gzip(tar_member("toy-bin/", "", '5') +
                          tar_member("toy-bin/data_batch_1.bin", noise(50'000)) +
                          tar_member("toy-bin/test_batch.bin", noise(1000, 2)) + tar_end())},
      {"images.gz", gzip(noise(5000))},
      {"labels.gz", gzip("12345678")}};
  size_t cut_ = 0;
  HttpServer server_;
};

TEST_F(Datasets, Archive) {
  fetch_dataset(archive(), path("sets/toy"), transport());
  EXPECT_THAT(names_in(path("sets/toy")), ElementsAre("data_batch_1.bin", "test_batch.bin"));
  EXPECT_EQ(read_text(path("sets/toy/data_batch_1.bin")), noise(50'000));
  EXPECT_THAT(names_in(path("sets")), ElementsAre("toy"));  // the archive is gone
  EXPECT_EQ(server_.asked().at(0).path, "/data/toy.tar.gz");
  fetch_dataset(archive(), path("sets/toy"), transport());
  EXPECT_EQ(server_.asked().size(), 1);
}

TEST_F(Datasets, SingleFiles) {
  fetch_dataset(singles(), path("idx/"), transport());
  EXPECT_EQ(read_text(path("idx/images")), noise(5000));
  EXPECT_EQ(read_text(path("idx/labels")), "12345678");
}

TEST_F(Datasets, RelativeFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(path(""));
  fetch_dataset(archive(), "toy", transport());
  fs::current_path(before);
  EXPECT_THAT(names_in(path("toy")), ElementsAre("data_batch_1.bin", "test_batch.bin"));
}

TEST_F(Datasets, ContinuesAfterACut) {
  cut_ = 10'000;
  fetch_dataset(archive(), path("toy"), transport());
  EXPECT_EQ(server_.asked().at(1).header("range"), "bytes=10000-");
  EXPECT_TRUE(fs::exists(path("toy/test_batch.bin")));
}

TEST_F(Datasets, MirrorsInTurn) {
  DatasetSource source = archive();
  source.addresses.insert(source.addresses.begin(), server_.url("/away/"));
  fetch_dataset(source, path("toy"), transport());
  EXPECT_EQ(server_.asked().size(), 2);
  source.addresses = {server_.url("/away/")};
  const std::string error = error_of([&] { fetch_dataset(source, path("other"), transport()); });
  EXPECT_THAT(error, HasSubstr("404"));
  EXPECT_THAT(error, HasSubstr("NESTVIT_DATASET_MIRROR"));
}

TEST_F(Datasets, MirrorOfTheUser) {
  set("NESTVIT_DATASET_MIRROR", server_.url("/mirror/"));
  DatasetSource source = archive();
  source.addresses = {"http://127.0.0.1:9/"};
  fetch_dataset(source, path("toy"), transport());
  EXPECT_EQ(server_.asked().at(0).path, "/mirror/toy/toy.tar.gz");
}

TEST_F(Datasets, WrongChecksum) {
  DatasetSource source = archive();
  source.files[0].md5 = "00000000000000000000000000000000";
  EXPECT_THAT(error_of([&] { fetch_dataset(source, path("toy"), transport()); }),
              HasSubstr("damaged"));
  EXPECT_FALSE(fs::exists(path("toy")));
}

TEST_F(Datasets, ArchiveOfSomethingElse) {
  DatasetSource source = archive();
  source.holds = {"train"};
  EXPECT_THAT(error_of([&] { fetch_dataset(source, path("toy"), transport()); }),
              HasSubstr("no train"));
  EXPECT_FALSE(fs::exists(path("toy")));
}

TEST_F(Datasets, FoldersOfOthersAreNotTouched) {
  fs::create_directories(path("mine"));
  write_file(path("mine/thesis.txt"), std::string_view("years of work"));
  EXPECT_THAT(error_of([&] { fetch_dataset(archive(), path("mine"), transport()); }),
              HasSubstr("is there already"));
  EXPECT_EQ(read_text(path("mine/thesis.txt")), "years of work");
  EXPECT_TRUE(server_.asked().empty());
  fs::create_directories(path("empty"));
  fetch_dataset(archive(), path("empty"), transport());
  EXPECT_TRUE(fs::exists(path("empty/test_batch.bin")));
}

TEST_F(Datasets, KnownOnes) {
  EXPECT_THAT(known_datasets(), ElementsAre("fashion-mnist", "cifar10", "cifar100", "imagenette"));
  for (const DatasetSource& source : dataset_sources()) {
    EXPECT_FALSE(source.addresses.empty());
    for (const std::string& address : source.addresses)
      EXPECT_TRUE(address.ends_with("/")) << address;
    for (const DatasetFile& file : source.files) EXPECT_EQ(file.md5.size(), 32) << file.name;
  }
}

}  // namespace
}  // namespace nestvit::testing
