// Files from servers that cut, lie and change their mind: whole, or not there.
#include "hub/download.h"

#include <sys/resource.h>

#include <csignal>
#include <thread>

#include "hub/part_file.h"
#include "support/hub/hub_test.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DownloadTest : public HubTest {
 protected:
  Download download(const std::string& url) const {
    Download wanted;
    wanted.url = url;
    wanted.label = "file.bin";
    wanted.fixed = true;
    return wanted;
  }
  Download checked(const std::string& url) const {
    Download wanted = download(url);
    wanted.size = content_.size();
    wanted.checksums = {{DigestKind::kSha256, digest_text(DigestKind::kSha256, content_)}};
    return wanted;
  }
  void fetch(const Download& wanted) { fetch_file(wanted, transport(), file_); }
  void leave_part(size_t bytes) const {
    write_file(path("file.bin.incomplete"), std::string_view(content_).substr(0, bytes));
  }
  std::string got() const { return read_text(file_); }

  const std::string content_ = noise(300'000);
  const fs::path file_ = path("file.bin");
};

TEST_F(DownloadTest, WholeFile) {
  HttpServer server([&](const Asked& a, const Wire& w) { serve_file(w, a, content_); });
  fetch(checked(server.url("/f")));
  EXPECT_EQ(got(), content_);
  EXPECT_THAT(names_in(path("")), ElementsAre("file.bin"));
  fetch(checked(server.url("/f")));  // it is there
  EXPECT_EQ(server.asked().size(), 1);
}

TEST_F(DownloadTest, EmptyAndUnknownLengths) {
  HttpServer server([&](const Asked& a, const Wire& w) {
    if (a.path == "/empty") return answer(w, a, 200, "");
    send_head(w, 200, {{"Transfer-Encoding", "chunked"}});
    w.send("5\r\nabcde\r\n0\r\n\r\n");
  });
  fetch_file(download(server.url("/empty")), transport(), path("empty"));
  EXPECT_EQ(read_text(path("empty")), "");
  fetch_file(download(server.url("/chunks")), transport(), path("chunks"));
  EXPECT_EQ(read_text(path("chunks")), "abcde");
}

TEST_F(DownloadTest, ContinuesWhereTheConnectionBroke) {
  std::atomic<int> tries{0};
  HttpServer server([&](const Asked& a, const Wire& w) {
    ++tries < 4 ? serve_cut(w, a, content_, 70'000) : serve_file(w, a, content_);
  });
  fetch(checked(server.url("/f")));
  EXPECT_EQ(got(), content_);
  const auto asked = server.asked();
  ASSERT_EQ(asked.size(), 4);
  EXPECT_EQ(asked[0].header("range"), "");
  EXPECT_EQ(asked[1].header("range"), "bytes=70000-");
  EXPECT_EQ(asked[3].header("range"), "bytes=210000-");
  EXPECT_THAT(waits(), ElementsAre(1, 1, 1));  // each try got farther
}

TEST_F(DownloadTest, ContinuesWhatAnEarlierRunLeft) {
  leave_part(100'000);
  HttpServer server([&](const Asked& a, const Wire& w) { serve_file(w, a, content_); });
  fetch(checked(server.url("/f")));
  EXPECT_EQ(got(), content_);
  EXPECT_EQ(server.asked().at(0).header("range"), "bytes=100000-");
}

TEST_F(DownloadTest, PartThatIsWholeNeedsNoServer) {
  leave_part(content_.size());
  fetch(checked("http://127.0.0.1:9/f"));
  EXPECT_EQ(got(), content_);
}

TEST_F(DownloadTest, PartThatIsTooLongStartsAnew) {
  write_file(path("file.bin.incomplete"), std::string_view(content_ + "more"));
  HttpServer server([&](const Asked& a, const Wire& w) { serve_file(w, a, content_); });
  fetch(checked(server.url("/f")));
  EXPECT_EQ(got(), content_);
  EXPECT_EQ(server.asked().at(0).header("range"), "");
}

TEST_F(DownloadTest, ServerWithoutRanges) {
  leave_part(100'000);
  HttpServer server([&](const Asked& a, const Wire& w) { answer(w, a, 200, content_); });
  fetch(checked(server.url("/f")));
  EXPECT_EQ(got(), content_);
}

TEST_F(DownloadTest, ServerWithoutRangesThatAlwaysCuts) {
  HttpServer server([&](const Asked& a, const Wire& w) {
    send_head(w, 200, {{"Content-Length", std::to_string(content_.size())}});
    w.send(std::string_view(content_).substr(0, 100'000 - 100 * (a.target.size() - 2)));
  });
  EXPECT_THAT(error_of([&] { fetch(checked(server.url("/f"))); }), HasSubstr("gave up after"));
  EXPECT_FALSE(fs::exists(file_));
  EXPECT_LE(server.asked().size(), 7);  // the same bytes again are no progress
}

TEST_F(DownloadTest, WrongRangesAreRefused) {
  for (const char* range :
       {"bytes 0-299999/300000", "bytes 99999-299999/300000", "bytes 100000-299999/300001",
        "bytes 100000-400000/300000", "bytes 100000-99999/300000", "bytes */300000",
        "bytes 100000-", "bytes -/", "octets 100000-299999/300000", "",
        "bytes 18446744073709551616-18446744073709551617/3"}) {
    leave_part(100'000);
    HttpServer server([&](const Asked&, const Wire& w) {
      send_head(w, 206, {{"Content-Range", range}, {"Content-Length", "200000"}});
      w.send(std::string_view(content_).substr(100'000));
    });
    EXPECT_THAT(error_of([&] { fetch(checked(server.url("/f"))); }),
                HasSubstr("from byte 100000 on"))
        << range;
    EXPECT_FALSE(fs::exists(file_));
    EXPECT_EQ(fs::file_size(path("file.bin.incomplete")), 100'000) << range;
  }
}

TEST_F(DownloadTest, PartOfAFileThatWasNotAskedFor) {
  HttpServer server([&](const Asked&, const Wire& w) {
    send_head(w, 206, {{"Content-Range", "bytes 0-9/10"}, {"Content-Length", "10"}});
    w.send("0123456789");
  });
  error_of([&] { fetch(download(server.url("/f"))); });
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(DownloadTest, UnsatisfiableRangeStartsAnew) {
  write_file(path("file.bin.incomplete"), std::string_view(content_ + "more"));
  HttpServer server([&](const Asked& a, const Wire& w) { serve_file(w, a, content_); });
  fetch(download(server.url("/f")));  // no size is known
  EXPECT_EQ(got(), content_);
  EXPECT_EQ(server.asked().size(), 2);
}

TEST_F(DownloadTest, LengthsThatLie) {
  HttpServer short_one(
      [&](const Asked& a, const Wire& w) { answer(w, a, 200, content_.substr(1)); });
  EXPECT_THAT(error_of([&] { fetch(checked(short_one.url("/f"))); }),
              HasSubstr("sends 299999 bytes of it, 300000 are expected"));
  HttpServer long_one([&](const Asked& a, const Wire& w) { answer(w, a, 200, content_ + "x"); });
  EXPECT_THAT(error_of([&] { fetch(checked(long_one.url("/f"))); }),
              HasSubstr("sends 300001 bytes of it, 300000 are expected"));
  // More announced than sent: the connection ends early, each time.
  HttpServer promising([&](const Asked& a, const Wire& w) {
    if (!a.header("range").empty()) return answer(w, a, 416, "");
    send_head(w, 200, {{"Content-Length", std::to_string(content_.size() + 5)}});
    w.send(content_);
  });
  EXPECT_THAT(error_of([&] { fetch(download(promising.url("/f"))); }), HasSubstr("gave up after"));
  // Less announced than sent: what was announced is the file; the checksum tells.
  HttpServer modest([&](const Asked&, const Wire& w) {
    send_head(w, 200, {{"Content-Length", "10"}});
    w.send(content_);
  });
  fs::remove(path("file.bin.incomplete"));
  Download unsized = checked(modest.url("/f"));
  unsized.size.reset();
  EXPECT_THAT(error_of([&] { fetch(unsized); }), HasSubstr("damaged"));
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(DownloadTest, BodiesWithoutEnd) {
  HttpServer server([&](const Asked&, const Wire& w) {
    send_head(w, 200, {{"Transfer-Encoding", "chunked"}});
    while (w.send("400\r\n" + std::string(0x400, 'a') + "\r\n")) continue;
  });
  EXPECT_THAT(error_of([&] { fetch(checked(server.url("/f"))); }),
              HasSubstr("more than its 300000 bytes"));
  Download unsized = download(server.url("/f"));
  unsized.max_bytes = 100'000;
  EXPECT_THAT(error_of([&] { fetch(unsized); }), HasSubstr("more than 100000 bytes"));
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(DownloadTest, EarlyEndWithoutALength) {
  std::atomic<int> tries{0};
  HttpServer server([&](const Asked& a, const Wire& w) {
    if (++tries > 1) return serve_file(w, a, content_);
    send_head(w, 200, {});  // until the connection ends
    w.send(std::string_view(content_).substr(0, 50'000));
  });
  fetch(checked(server.url("/f")));
  EXPECT_EQ(got(), content_);
  EXPECT_EQ(server.asked().at(1).header("range"), "bytes=50000-");
}

TEST_F(DownloadTest, WrongChecksum) {
  HttpServer server([&](const Asked& a, const Wire& w) { serve_file(w, a, content_); });
  for (const DigestKind kind :
       {DigestKind::kMd5, DigestKind::kSha1, DigestKind::kSha256, DigestKind::kCrc32c}) {
    Download wanted = checked(server.url("/f"));
    wanted.checksums = {{kind, digest_text(kind, "something else")}};
    const std::string error = error_of([&] { fetch(wanted); });
    EXPECT_THAT(error, HasSubstr(digest_text(kind, "something else")));
    EXPECT_THAT(error, HasSubstr(digest_text(kind, content_)));
    EXPECT_THAT(names_in(path("")), IsEmpty());  // nothing of it is continued
  }
}

TEST_F(DownloadTest, ContinuesOnlyTheSameVersion) {
  const std::string newer = noise(300'000, 2);
  std::atomic<int> tries{0};
  HttpServer server([&](const Asked& a, const Wire& w) {
    if (++tries == 1) return serve_cut(w, a, content_, 100'000, {{"ETag", "\"one\""}});
    if (tries == 2) return serve_cut(w, a, content_, 100'000, {{"ETag", "\"one\""}});
    serve_file(w, a, newer, {{"ETag", "\"two\""}});
  });
  Download wanted = download(server.url("/f"));
  wanted.fixed = false;
  fetch(wanted);
  EXPECT_EQ(got(), newer);
  EXPECT_EQ(server.asked().at(1).header("if-range"), "\"one\"");
  EXPECT_EQ(server.asked().at(1).header("range"), "bytes=100000-");
  EXPECT_THAT(names_in(path("")), ElementsAre("file.bin"));
}

TEST_F(DownloadTest, PartOfUnknownVersionStartsAnew) {
  std::atomic<int> tries{0};
  HttpServer server([&](const Asked& a, const Wire& w) {  // neither ETag nor date, or a weak one
    ++tries == 1 ? serve_cut(w, a, content_, 100'000, {{"ETag", "W/\"weak\""}})
                 : serve_file(w, a, content_);
  });
  Download wanted = download(server.url("/f"));
  wanted.fixed = false;
  leave_part(50'000);
  fetch(wanted);
  EXPECT_EQ(got(), content_);
  for (const Asked& asked : server.asked()) EXPECT_EQ(asked.header("range"), "");
}

TEST_F(DownloadTest, VersionIsRememberedAcrossRuns) {
  {
    HttpServer server([&](const Asked& a, const Wire& w) {
      if (!a.header("range").empty()) return;
      serve_cut(w, a, content_, 100'000, {{"Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT"}});
    });
    Download wanted = download(server.url("/f"));
    wanted.fixed = false;
    error_of([&] { fetch(wanted); });
  }
  HttpServer server([&](const Asked& a, const Wire& w) {
    serve_file(w, a, content_, {{"Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT"}});
  });
  Download wanted = download(server.url("/f"));
  wanted.fixed = false;
  fetch(wanted);
  EXPECT_EQ(got(), content_);
  EXPECT_EQ(server.asked().at(0).header("range"), "bytes=100000-");
  EXPECT_EQ(server.asked().at(0).header("if-range"), "Sat, 01 Jan 2022 00:00:00 GMT");
}

TEST_F(DownloadTest, TwoAtATimeFetchOnce) {
  HttpServer server([&](const Asked& a, const Wire& w) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    serve_file(w, a, content_);
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      Transport quiet;
      quiet.progress = false;
      fetch_file(checked(server.url("/f")), quiet, file_);
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(got(), content_);
  EXPECT_EQ(server.asked().size(), 1);
  EXPECT_THAT(names_in(path("")), ElementsAre("file.bin"));
}

TEST_F(DownloadTest, FullDiskSaysSo) {
  HttpServer server([&](const Asked& a, const Wire& w) { serve_file(w, a, content_); });
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 100'000;
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string error = error_of([&] { fetch(checked(server.url("/f"))); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(error, HasSubstr("cannot write"));
  EXPECT_THAT(error, HasSubstr("goes on where it stopped"));
  EXPECT_FALSE(fs::exists(file_));
  fetch(checked(server.url("/f")));
  EXPECT_EQ(got(), content_);
}

TEST_F(DownloadTest, MoreThanTheDiskHasIsNotBegun) {
  HttpServer server([&](const Asked&, const Wire& w) {
    send_head(w, 200, {{"Content-Length", "1000000000000000000"}});
    while (w.send(content_)) continue;
  });
  Download wanted = download(server.url("/f"));
  wanted.max_bytes = UINT64_MAX;
  EXPECT_THAT(error_of([&] { fetch(wanted); }), HasSubstr("free"));
  EXPECT_EQ(fs::file_size(path("file.bin.incomplete")), 0);
}

TEST_F(DownloadTest, FoldersThatCannotBeWritten) {
  write_file(path("in-the-way"), std::string_view("a file"));
  EXPECT_THAT(error_of([&] {
                fetch_file(download("http://127.0.0.1:9/f"), transport(),
                           path("in-the-way/file.bin"));
              }),
              HasSubstr("in-the-way"));
}

}  // namespace
}  // namespace nestvit::testing
