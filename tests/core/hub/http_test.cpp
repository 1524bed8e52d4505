// The client against servers that answer badly, slowly, or not at all.
#include "hub/http.h"

#include <chrono>

#include "support/hub/hub_test.h"

namespace nestvit::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

class Http : public HubTest {
 protected:
  HttpRequest request(const std::string& url) {
    HttpRequest ask;
    ask.url = url;
    ask.patience = transport().patience;
    return ask;
  }
  int status_of(const HttpRequest& ask) {
    try {
      return http_ask(ask).status;
    } catch (const HttpError& error) {
      return error.status();
    }
  }
};

TEST_F(Http, AnswerWithHeadersAndBody) {
  HttpServer server([](const Asked& asked, const Wire& wire) {
    answer(wire, asked, 200, "hello", {{"X-Word", " spaced "}, {"ETag", "\"e\""}});
  });
  const HttpResponse response = http_ask(request(server.url("/a?b=c")));
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "hello");
  EXPECT_EQ(response.header("x-word"), "spaced");
  const Asked asked = server.asked().at(0);
  EXPECT_EQ(asked.method, "GET");
  EXPECT_EQ(asked.target, "/a?b=c");
  EXPECT_THAT(asked.header("user-agent"), MatchesRegex("nestvit/[0-9]+\\.[0-9]+\\.[0-9]+"));
  EXPECT_EQ(asked.header("accept-encoding"), "identity");
  EXPECT_EQ(asked.header("authorization"), "");
}

TEST_F(Http, HeadHasNoBody) {
  HttpServer server(
      [](const Asked& asked, const Wire& wire) { answer(wire, asked, 200, "hello"); });
  HttpRequest ask = request(server.url());
  ask.head = true;
  const HttpResponse response = http_ask(ask);
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(response.header("content-length"), "5");
}

TEST_F(Http, ChunkedBody) {
  HttpServer server([](const Asked&, const Wire& wire) {
    send_head(wire, 200, {{"Transfer-Encoding", "chunked"}});
    wire.send("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
  });
  EXPECT_EQ(http_ask(request(server.url())).body, "abcdefg");
}

TEST_F(Http, TokenStaysWithItsOrigin) {
  HttpServer other([](const Asked& asked, const Wire& wire) { answer(wire, asked, 200, "there"); });
  HttpServer server([&](const Asked& asked, const Wire& wire) {
    const bool moved = asked.path == "/moved";
    answer(wire, asked, 302, "", {{"Location", moved ? other.url("/there?signed=1") : "/moved"}});
  });
  HttpRequest ask = request(server.url("/here"));
  ask.bearer = "secret";
  EXPECT_EQ(http_ask(ask).body, "there");
  ASSERT_EQ(server.asked().size(), 2);
  for (const Asked& asked : server.asked())
    EXPECT_EQ(asked.header("authorization"), "Bearer secret") << asked.path;
  EXPECT_EQ(other.asked().at(0).header("authorization"), "");
  EXPECT_EQ(other.asked().at(0).target, "/there?signed=1");
}

TEST_F(Http, RedirectToAnotherOriginCanBeTheAnswer) {
  HttpServer server([&](const Asked& asked, const Wire& wire) {
    if (asked.path == "/here")
      answer(wire, asked, 307, "", {{"Location", "/there"}, {"X-Repo-Commit", "c"}});
    answer(wire, asked, 302, "", {{"Location", "http://cdn.example/file"}, {"X-Linked-Size", "7"}});
  });
  HttpRequest ask = request(server.url("/here"));
  ask.leave_origin = false;
  const HttpResponse response = http_ask(ask);
  EXPECT_EQ(response.status, 302);
  EXPECT_EQ(response.header("x-linked-size"), "7");
  EXPECT_EQ(response.header("x-repo-commit"), "c");  // of the first redirect
}

TEST_F(Http, RedirectsAreBounded) {
  HttpServer server([](const Asked& asked, const Wire& wire) {
    answer(wire, asked, 302, "", {{"Location", asked.path + "x"}});
  });
  EXPECT_THAT(error_of([&] { http_ask(request(server.url("/"))); }),
              HasSubstr("too many redirects"));
  EXPECT_EQ(server.asked().size(), 11);
  EXPECT_TRUE(waits().empty());
}

TEST_F(Http, RedirectsToOtherProtocolsAreRefused) {
  for (const char* target :
       {"file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/", "scp:x"}) {
    HttpServer server([&](const Asked& asked, const Wire& wire) {
      answer(wire, asked, 302, "", {{"Location", target}});
    });
    EXPECT_THAT(error_of([&] { http_ask(request(server.url())); }), HasSubstr("refused")) << target;
  }
}

TEST_F(Http, DowngradesAreRefused) {
  EXPECT_EQ(http_redirect_problem("https://a.org/x", "https://b.org/y"), "");
  EXPECT_EQ(http_redirect_problem("http://a.org/x", "http://b.org/y"), "");
  EXPECT_EQ(http_redirect_problem("http://a.org/x", "https://a.org/x"), "");
  EXPECT_EQ(http_redirect_problem("https://a.org/x", "http://127.0.0.1:80/x"), "");
  EXPECT_NE(http_redirect_problem("https://a.org/x", "http://a.org/x"), "");
  EXPECT_NE(http_redirect_problem("https://a.org/x", "HTTP://a.org/x"), "");
  EXPECT_NE(http_redirect_problem("https://a.org/x", "http://localhost.evil.org/x"), "");
  EXPECT_NE(http_redirect_problem("https://a.org/x", "http://127.evil.org/x"), "");
  EXPECT_NE(http_redirect_problem("https://a.org/x", ""), "");
}

TEST_F(Http, OriginsAndShownAddresses) {
  EXPECT_TRUE(http_same_origin("https://a.org/x", "https://A.org:443/y?z"));
  EXPECT_FALSE(http_same_origin("https://a.org/x", "http://a.org/x"));
  EXPECT_FALSE(http_same_origin("https://a.org/x", "https://a.org:444/x"));
  EXPECT_FALSE(http_same_origin("https://a.org/x", "https://a.org.evil.org/x"));
  EXPECT_EQ(http_shown("https://user:word@a.org/x?key=secret#part"), "https://a.org/x");
  EXPECT_EQ(http_escape("refs/pr/1 ä"), "refs%2Fpr%2F1%20%C3%A4");
  EXPECT_EQ(http_unescape("a%20b%2Fc"), "a b/c");
}

TEST_F(Http, OnlyHttpAddresses) {
  for (const char* url : {"file:///etc/passwd", "ftp://h/x", "host/x", "http://", "http://a b/"})
    EXPECT_THROW(http_ask(request(url)), UsageError) << url;
}

TEST_F(Http, TroubleOfTheServerIsWaitedOut) {
  for (const int status : {429, 500, 502, 503, 408}) {
    std::atomic<int> tries{0};
    HttpServer server([&](const Asked& asked, const Wire& wire) {
      answer(wire, asked, ++tries < 3 ? status : 200, "body");
    });
    EXPECT_EQ(http_ask(request(server.url())).body, "body") << status;
    EXPECT_EQ(tries, 3) << status;
  }
  EXPECT_THAT(waits(), ElementsAre(1, 2, 1, 2, 1, 2, 1, 2, 1, 2));
}

TEST_F(Http, RetryAfterIsObeyed) {
  std::atomic<int> tries{0};
  HttpServer server([&](const Asked& asked, const Wire& wire) {
    if (++tries < 2) return answer(wire, asked, 429, "", {{"Retry-After", "17"}});
    answer(wire, asked, 200, "");
  });
  http_ask(request(server.url()));
  EXPECT_THAT(waits(), ElementsAre(17));
  HttpServer long_wait([&](const Asked& asked, const Wire& wire) {
    answer(wire, asked, 503, "", {{"Retry-After", "7200"}});
  });
  EXPECT_THAT(error_of([&] { http_ask(request(long_wait.url())); }), HasSubstr("2:00:00"));
  EXPECT_EQ(long_wait.asked().size(), 1);
}

TEST_F(Http, PatienceEnds) {
  HttpServer server([&](const Asked& asked, const Wire& wire) { answer(wire, asked, 500, ""); });
  const std::string error = error_of([&] { http_ask(request(server.url("/x?secret=1"))); });
  EXPECT_THAT(error, HasSubstr("(500)"));
  EXPECT_THAT(error, HasSubstr("6 tries, 31 s"));
  EXPECT_THAT(error, Not(HasSubstr("secret")));
  EXPECT_THAT(waits(), ElementsAre(1, 2, 4, 8, 16));
}

TEST_F(Http, RefusalsAreNotRepeated) {
  for (const int status : {400, 401, 403, 404, 410}) {
    HttpServer server([&](const Asked& asked, const Wire& wire) {
      answer(wire, asked, status, "page", {{"X-Error-Message", "why it is so"}});
    });
    EXPECT_EQ(status_of(request(server.url())), status);
    EXPECT_THAT(error_of([&] { http_ask(request(server.url())); }), HasSubstr("why it is so"));
    EXPECT_EQ(server.asked().size(), 2);
  }
  EXPECT_TRUE(waits().empty());
}

TEST_F(Http, NobodyListens) {
  std::string url;
  {
    HttpServer gone([](const Asked&, const Wire&) {});
    url = gone.url();
  }
  const std::string error = error_of([&] { http_ask(request(url)); });
  EXPECT_THAT(error, HasSubstr("cannot reach 127.0.0.1"));
  EXPECT_THAT(error, HasSubstr("https_proxy"));
  EXPECT_THAT(waits(), ElementsAre(1));  // one more try, no more: there may be no network at all
}

TEST_F(Http, ConnectionsThatDrop) {
  std::atomic<int> tries{0};
  HttpServer server([&](const Asked& asked, const Wire& wire) {
    if (++tries == 1) return;  // not a byte
    if (tries == 2) return serve_cut(wire, asked, "hello", 2);
    answer(wire, asked, 200, "hello");
  });
  EXPECT_EQ(http_ask(request(server.url())).body, "hello");
  EXPECT_EQ(tries, 3);
}

TEST_F(Http, EndlessHeaders) {
  HttpServer server([](const Asked&, const Wire& wire) {
    wire.send("HTTP/1.1 200 OK\r\n");
    for (int i = 0; wire.send(fmt::format("X-{}: {}\r\n", i, std::string(1000, 'a')));) ++i;
  });
  EXPECT_THAT(error_of([&] { http_ask(request(server.url())); }), HasSubstr("headers"));
}

TEST_F(Http, EndlessBodies) {
  for (const int status : {200, 404, 302}) {
    HttpServer server([&](const Asked& asked, const Wire& wire) {
      if (asked.path == "/end") return answer(wire, asked, 200, "");
      send_head(wire, status, {{"Location", "/end"}});
      while (wire.send(std::string(10000, 'a'))) continue;
    });
    const int got = status_of(request(server.url("/start")));
    EXPECT_EQ(got, status == 200 ? 0 : status == 302 ? 200 : 404);
  }
  EXPECT_TRUE(waits().empty());
}

TEST_F(Http, StalledServersAreGivenUp) {
  HttpServer server([](const Asked&, const Wire& wire) {
    send_head(wire, 200, {{"Content-Length", "1000000"}});
    while (wire.send("a")) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  });
  HttpRequest ask = request(server.url());
  ask.patience.stall_s = 1;
  ask.patience.tries = 2;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(error_of([&] { http_ask(ask); }), HasSubstr("stopped answering"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_EQ(waits().size(), 1);
}

TEST_F(Http, SlowAnswersEndAfterTheirTime) {
  HttpServer server([](const Asked&, const Wire& wire) {
    send_head(wire, 200, {});
    while (wire.send(std::string(200, 'a')))
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
  });
  HttpRequest ask = request(server.url());
  ask.most_s = 1;
  ask.patience.tries = 1;
  EXPECT_THAT(error_of([&] { http_ask(ask); }), HasSubstr("stopped answering"));
}

TEST_F(Http, ProxyOfTheEnvironment) {
  HttpServer proxy(
      [](const Asked& asked, const Wire& wire) { answer(wire, asked, 200, "by proxy"); });
  set("http_proxy", proxy.url());
  EXPECT_EQ(http_ask(request("http://nowhere.invalid/x")).body, "by proxy");
  EXPECT_EQ(proxy.asked().at(0).target, "http://nowhere.invalid/x");
}

TEST_F(Http, GarbageInsteadOfHttp) {
  for (const char* text :
       {"\r\n\r\n", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1\r\n\r\n", "HTTP/1.1 99999 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    HttpServer server([&](const Asked&, const Wire& wire) { wire.send(text); });
    EXPECT_THAT(error_of([&] { http_ask(request(server.url())); }), Not(HasSubstr("internal")))
        << text;
  }
}

}  // namespace
}  // namespace nestvit::testing
