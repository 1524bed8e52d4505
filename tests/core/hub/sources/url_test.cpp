// http(s)://: one file, named by its address or by the server, kept under the address.
#include "hub/sources/url.h"

#include <atomic>

#include "support/hub/hub_test.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WebAddress : public HubTest {};

TEST_F(WebAddress, FileNamedByTheAddress) {
  HttpServer server([](const Asked& a, const Wire& w) { serve_file(w, a, "weights"); });
  const fs::path file = pull_from_url(server.url("/models/nest.pth?download=true"), transport());
  EXPECT_EQ(file.filename(), "nest.pth");
  EXPECT_EQ(file.parent_path().parent_path(), path(".cache/nestvit/url"));
  EXPECT_EQ(read_text(file), "weights");
  EXPECT_THAT(names_in(file.parent_path()), ElementsAre("nest.pth"));
  EXPECT_EQ(pull_from_url(server.url("/models/nest.pth?download=true"), transport()), file);
  EXPECT_EQ(server.asked().size(), 1);
  EXPECT_NE(pull_from_url(server.url("/models/nest.pth"), transport()), file);  // another address
}

TEST_F(WebAddress, FileNamedByTheServer) {
  HttpServer server([](const Asked& a, const Wire& w) {
    serve_file(w, a, "weights",
               {{"Content-Disposition", "attachment; filename=\"../../best nest.pth\"; size=7"}});
  });
  EXPECT_EQ(pull_from_url(server.url("/get"), transport()).filename(), "best_nest.pth");
}

TEST_F(WebAddress, ContinuesTheSameVersion) {
  const std::string content = noise(100'000);
  std::atomic<int> tries{0};
  HttpServer server([&](const Asked& a, const Wire& w) {
    const Headers headers = {{"ETag", "\"v1\""}};
    ++tries == 1 ? serve_cut(w, a, content, 40'000, headers) : serve_file(w, a, content, headers);
  });
  EXPECT_EQ(read_text(pull_from_url(server.url("/nest.pth"), transport())), content);
  EXPECT_EQ(server.asked().at(1).header("range"), "bytes=40000-");
}

TEST_F(WebAddress, NotFound) {
  HttpServer server([](const Asked& a, const Wire& w) { answer(w, a, 404, "no"); });
  EXPECT_THAT(error_of([&] { pull_from_url(server.url("/nest.pth"), transport()); }),
              HasSubstr("does not exist (404)"));
}

TEST_F(WebAddress, ABrokenDownloadGoesOnInTheNextRun) {
  const std::string content = noise(100'000);
  const Headers headers = {{"ETag", "\"v1\""}};
  std::atomic<bool> well{false};
  HttpServer server([&](const Asked& a, const Wire& w) {
    if (well) return serve_file(w, a, content, headers);
    if (a.header("range").empty()) serve_cut(w, a, content, 40'000, headers);
  });
  EXPECT_THAT(error_of([&] { pull_from_url(server.url("/nest.pth"), transport()); }),
              HasSubstr("gave up after"));
  well = true;
  EXPECT_EQ(read_text(pull_from_url(server.url("/nest.pth"), transport())), content);
  EXPECT_EQ(server.asked().back().header("range"), "bytes=40000-");
}

}  // namespace
}  // namespace nestvit::testing
