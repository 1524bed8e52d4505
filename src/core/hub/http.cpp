// One libcurl handle per request. Redirects are followed here and not by libcurl: the hub states
// facts in the redirect's own headers, and the token must stay with the origin it was meant for.
#include "hub/http.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/system/environment.h"
#include "base/text.h"

namespace nestvit {
namespace {

constexpr int kMostRedirects = 10;
constexpr size_t kLongestHeaders = 256 << 10;
constexpr size_t kLongestErrorPage = 64 << 10;  // comes with an error or a redirect
constexpr long kStallBytesPerSecond = 1000;

std::string trimmed(std::string_view text) {
  constexpr const char* kBlank = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(kBlank) - first + 1));
}

// URLs.

class Url {
 public:
  explicit Url(const std::string& text) : url_(curl_url(), &curl_url_cleanup) {
    valid_ = url_ && curl_url_set(url_.get(), CURLUPART_URL, text.c_str(), 0) == CURLUE_OK;
  }
  bool valid() const { return valid_; }
  std::string part(CURLUPart which, unsigned flags = 0) const {
    char* text = nullptr;
    if (!valid_ || curl_url_get(url_.get(), which, &text, flags) != CURLUE_OK) return "";
    const std::string copy = text;
    curl_free(text);
    return copy;
  }
  std::string host() const { return ascii_lower(part(CURLUPART_HOST)); }
  std::string scheme() const { return ascii_lower(part(CURLUPART_SCHEME)); }
  std::string origin() const {
    return fmt::format("{}://{}:{}", scheme(), host(), part(CURLUPART_PORT, CURLU_DEFAULT_PORT));
  }
  void clear(CURLUPart which) { curl_url_set(url_.get(), which, nullptr, 0); }
  // The URL that a Location header means here; "" when it is none.
  std::string follow(const std::string& location) {
    if (!valid_ ||
        curl_url_set(url_.get(), CURLUPART_URL, location.c_str(), CURLU_URLENCODE) != CURLUE_OK)
      return "";
    return part(CURLUPART_URL);
  }

 private:
  std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url_;
  bool valid_ = false;
};

bool is_this_machine(const std::string& host) {
  const bool numeric = host.find_first_not_of("0123456789.") == std::string::npos;
  return host == "localhost" || host == "[::1]" || (host.starts_with("127.") && numeric);
}

// Failures.

struct Trouble {
  bool again = false;      // worth another try
  bool unreached = false;  // no connection came about
  double wait_s = 0;       // what Retry-After asks for
};

class Failure : public HttpError {
 public:
  Failure(const std::string& what, const std::string& hint, HttpResponse response, Trouble trouble)
      : HttpError(what, hint, std::move(response)), trouble_(trouble) {}
  const Trouble& trouble() const { return trouble_; }

 private:
  Trouble trouble_;
};

// The failure that an error of the connection is, with its hint.
Failure wire_failure(CURLcode code, const char* detail, HttpResponse response) {
  response.status = 0;
  const std::string url = http_shown(response.url);
  const std::string host = Url(response.url).host();
  const std::string words = detail[0] ? detail : curl_easy_strerror(code);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
      return {fmt::format("cannot reach {}: {}", host, words),
              "check the network; behind a proxy, set https_proxy",
              response,
              {true, true, 0}};
    case CURLE_OPERATION_TIMEDOUT:
      return {fmt::format("{} has stopped answering: {}", host, words),
              "try again later",
              response,
              {true, false, 0}};
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return {fmt::format("{} has cut the connection: {}", host, words),
              "try again later",
              response,
              {true, false, 0}};
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return {fmt::format("the certificate of {} cannot be trusted: {}", host, words),
              "behind a proxy with a certificate of its own, name that in CURL_CA_BUNDLE",
              response,
              {}};
    default:
      return {fmt::format("cannot fetch {}: {}", url, words), "", response, {}};
  }
}

Failure status_failure(HttpResponse response, double retry_after) {
  const std::string url = http_shown(response.url);
  std::string said = response.header("x-error-message").substr(0, 300);
  if (!said.empty()) said = ": " + said;
  const auto make = [&](const char* what, const char* hint, bool again) {
    return Failure(fmt::format("{} {} ({}){}", url, what, response.status, said), hint, response,
                   {again, false, retry_after});
  };
  switch (response.status) {
    case 401:
      return make("wants a login", "nestvit sends a token to the Hugging Face hub only", false);
    case 403:
      return make("is not allowed", "check that you may read it", false);
    case 404:
    case 410:
      return make("does not exist", "check the name", false);
    case 416:
      return make("has no such range", "", true);
    case 408:
    case 425:
      return make("was not answered in time", "try again later", true);
    case 429:
      return make("was asked for too often", "wait a few minutes and try again", true);
    default:
      if (response.status >= 500)
        return make("cannot be served now", "the server is in trouble: try again later", true);
      return make("was not served", "", false);
  }
}

// Waits between tries, until patience is at its end.
class Retries {
 public:
  explicit Retries(const HttpPatience& patience) : patience_(patience) {}

  void progressed() {
    reached_ = true;
    in_a_row_ = 0;
    waited_ = 0;
  }

  // Returns when it is time to try again; throws `failure` when it is not.
  void after(const Failure& failure) {
    ++in_all_;
    ++in_a_row_;
    const Trouble& trouble = failure.trouble();
    if (!trouble.again) throw HttpError(failure);
    const bool unreached = trouble.unreached && !reached_;
    const int tries = unreached ? std::min(2, patience_.tries) : patience_.tries;
    if (in_a_row_ >= tries || in_all_ >= patience_.tries_in_all)
      throw HttpError(in_all_ == 1 ? failure.what()
                                   : fmt::format("{} (gave up after {} tries, {:.0f} s of waiting)",
                                                 failure.what(), in_all_, waited_),
                      failure.hint(), failure.response());
    if (trouble.wait_s > patience_.longest_wait_s)
      throw HttpError(
          fmt::format("{} and asks to wait {}", failure.what(), human_duration(trouble.wait_s)),
          "try again after that time", failure.response());
    const double doubled =
        patience_.first_wait_s * static_cast<double>(1 << std::min(in_a_row_ - 1, 16));
    const double wait = std::min(std::max(doubled, trouble.wait_s), patience_.longest_wait_s);
    if (wait >= 3) log_warning(fmt::format("{}; trying again in {:.0f} s", failure.what(), wait));
    waited_ += wait;
    if (patience_.sleep) {
      patience_.sleep(wait);
    } else {
      std::this_thread::sleep_for(std::chrono::duration<double>(wait));
    }
  }

 private:
  const HttpPatience& patience_;
  int in_a_row_ = 0, in_all_ = 0;
  double waited_ = 0;
  bool reached_ = false;
};

class Client {
 public:
  Client(const HttpRequest& request, Retries& retries)
      : request_(request), retries_(retries), curl_(handle(), &curl_easy_cleanup) {
    // libcurl would find a scheme for "host/path", and read local files by file://.
    if (!request.url.starts_with("http://") && !request.url.starts_with("https://"))
      throw UsageError(
          fmt::format("\"{}\" is not an http or https address", http_shown(request.url)));
    if (!Url(request.url).valid())
      throw UsageError(fmt::format("\"{}\" is not a valid address", http_shown(request.url)));
    set_up();
  }

  // One request with its redirects. Throws Failure, or what the receiver throws.
  void exchange(HttpReceiver& receiver) {
    receiver_ = &receiver;
    const std::vector<std::string> extra = receiver.headers();
    std::string url = request_.url;
    response_ = {};
    for (int redirects = 0;; ++redirects) {
      perform(url, extra);
      const std::string location = response_.header("location");
      if (response_.status < 300 || response_.status > 399 || location.empty()) break;
      const std::string next = Url(url).follow(location);
      const std::string problem = http_redirect_problem(url, next);
      const bool leaves = !http_same_origin(request_.url, next);
      if (leaves && !request_.leave_origin && problem.empty()) {
        receiver.begin(response_);
        return;
      }
      if (!problem.empty() || redirects == kMostRedirects)
        throw Failure(
            fmt::format("{} redirects to {}, which is refused: {}", http_shown(url),
                        http_shown(next), problem.empty() ? "too many redirects" : problem),
            "", response_, {});
      if (leaves) response_.headers.clear();
      url = next;
    }
    if (response_.status < 200 || response_.status > 299) throw status_failure(response_, wait_s());
    if (!begun_) receiver.begin(response_);
    const std::string missing = receiver.missing();
    if (!missing.empty())
      throw Failure(fmt::format("{} {}", http_shown(url), missing), "try again later",
                    HttpResponse{0, url, {}, ""}, {true, false, 0});
  }

 private:
  static CURL* handle() {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    CURL* curl = ready == CURLE_OK ? curl_easy_init() : nullptr;
    if (!curl) throw Error("libcurl cannot start");
    return curl;
  }

  void set_up() {
    CURL* curl = curl_.get();
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "nestvit/" NESTVIT_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, static_cast<long>(request_.patience.connect_s));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerSecond);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(request_.patience.stall_s));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, static_cast<long>(request_.most_s));
    curl_easy_setopt(curl, CURLOPT_NOBODY, request_.head ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &Client::on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Client::on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
    for (const char* name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE"})
      if (const auto bundle = environment_variable(name))
        curl_easy_setopt(curl, CURLOPT_CAINFO, bundle->c_str());
  }

  void perform(const std::string& url, const std::vector<std::string>& extra) {
    std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> lines(nullptr,
                                                                      &curl_slist_free_all);
    const auto add = [&](const std::string& line) {
      curl_slist* grown = curl_slist_append(lines.get(), line.c_str());
      if (!grown) throw std::bad_alloc();
      static_cast<void>(lines.release());  // curl has appended to it
      lines.reset(grown);
    };
    add("Accept-Encoding: identity");  // lengths and checksums are those of the file
    for (const std::string& line : extra) add(line);
    if (!request_.bearer.empty() && http_same_origin(request_.url, url))
      add("Authorization: Bearer " + request_.bearer);
    response_.url = url;
    response_.status = 0;
    begun_ = false;
    header_bytes_ = excuse_bytes_ = 0;
    problem_ = nullptr;
    error_[0] = '\0';
    curl_easy_setopt(curl_.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl_.get(), CURLOPT_HTTPHEADER, lines.get());
    const CURLcode code = curl_easy_perform(curl_.get());
    curl_easy_setopt(curl_.get(), CURLOPT_HTTPHEADER, nullptr);
    if (problem_) std::rethrow_exception(problem_);
    if (code != CURLE_OK && excuse_bytes_ <= kLongestErrorPage)
      throw wire_failure(code, error_, response_);
  }

  double wait_s() const {
    curl_off_t seconds = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RETRY_AFTER, &seconds);
    return static_cast<double>(seconds);
  }

  void take_header(std::string_view line) {
    header_bytes_ += line.size();
    if (header_bytes_ > kLongestHeaders)
      throw Failure(fmt::format("{} answers with headers without end", http_shown(response_.url)),
                    "", {}, {});
    if (line.starts_with("HTTP/")) {  // of each answer: also 100 Continue, and a proxy's
      std::erase_if(response_.headers, [](const auto& h) { return !h.first.starts_with("x-"); });
      long status = 0;
      curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
      response_.status = static_cast<int>(status);
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    response_.headers[ascii_lower(trimmed(line.substr(0, colon)))] =
        trimmed(line.substr(colon + 1));
  }

  // Whether more is wanted.
  bool take_body(std::string_view bytes) {
    if (response_.status < 200 || response_.status > 299) {
      excuse_bytes_ += bytes.size();
      return excuse_bytes_ <= kLongestErrorPage;
    }
    if (!begun_) receiver_->begin(response_);
    begun_ = true;
    if (receiver_->take(bytes)) retries_.progressed();
    return true;
  }

  // Exceptions must not pass through libcurl.
  template <class Take>
  static size_t guarded(void* self, size_t size, Take take) {
    auto* client = static_cast<Client*>(self);
    try {
      return take(client) ? size : CURL_WRITEFUNC_ERROR;
    } catch (...) {
      client->problem_ = std::current_exception();
      return CURL_WRITEFUNC_ERROR;
    }
  }
  static size_t on_header(char* data, size_t, size_t size, void* self) {
    return guarded(self, size, [&](Client* c) {
      c->take_header({data, size});
      return true;
    });
  }
  static size_t on_body(char* data, size_t, size_t size, void* self) {
    return guarded(self, size, [&](Client* c) { return c->take_body({data, size}); });
  }

  const HttpRequest& request_;
  Retries& retries_;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl_;
  HttpReceiver* receiver_ = nullptr;
  HttpResponse response_;
  bool begun_ = false;
  size_t header_bytes_ = 0, excuse_bytes_ = 0;
  std::exception_ptr problem_;
  char error_[CURL_ERROR_SIZE] = {};
};

}  // namespace

std::string HttpResponse::header(const std::string& name) const {
  const auto at = headers.find(name);
  return at == headers.end() ? "" : at->second;
}

void http_transfer(const HttpRequest& request, HttpReceiver& receiver) {
  Retries retries(request.patience);
  Client client(request, retries);
  while (true) {
    try {
      client.exchange(receiver);
      return;
    } catch (const Failure& failure) {
      receiver.failed(failure.status());
      retries.after(failure);
    }
  }
}

HttpResponse http_ask(const HttpRequest& request) {
  struct Body : HttpReceiver {
    const HttpRequest& request;
    HttpResponse response;
    explicit Body(const HttpRequest& asked) : request(asked) {}
    void begin(const HttpResponse& now) override { response = now; }
    bool take(std::string_view bytes) override {
      if (bytes.size() > request.max_body - response.body.size())
        throw HttpError(fmt::format("{} answers with more than {} bytes", http_shown(request.url),
                                    request.max_body),
                        "", {});
      response.body += bytes;
      return false;
    }
  } body(request);
  http_transfer(request, body);
  return std::move(body.response);
}

std::string http_shown(const std::string& url) {
  Url parsed(url);
  if (!parsed.valid()) return url.substr(0, std::min(url.find_first_of("?#"), size_t{200}));
  for (const CURLUPart part :
       {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT})
    parsed.clear(part);
  return parsed.part(CURLUPART_URL);
}

bool http_same_origin(const std::string& a, const std::string& b) {
  const Url first(a), second(b);
  return first.valid() && second.valid() && first.origin() == second.origin();
}

std::string http_redirect_problem(const std::string& from, const std::string& to) {
  const Url source(from), target(to);
  if (!target.valid() || (target.scheme() != "http" && target.scheme() != "https"))
    return "it is not an http or https address";
  if (source.scheme() == "https" && target.scheme() == "http" && !is_this_machine(target.host()))
    return "it leaves the encrypted connection";
  return "";
}

std::string http_escape(const std::string& text) {
  char* escaped = curl_easy_escape(nullptr, text.c_str(), static_cast<int>(text.size()));
  if (!escaped) throw std::bad_alloc();
  const std::string copy = escaped;
  curl_free(escaped);
  return copy;
}

std::string http_unescape(const std::string& text) {
  int size = 0;
  char* plain = curl_easy_unescape(nullptr, text.c_str(), static_cast<int>(text.size()), &size);
  if (!plain) throw std::bad_alloc();
  const std::string copy(plain, static_cast<size_t>(size));
  curl_free(plain);
  return copy;
}

}  // namespace nestvit
