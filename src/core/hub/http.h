// HTTP(S) as a client that trusts no server: bounded time, headers, bodies, redirects and retries.
// Proxies by the usual variables (https_proxy, no_proxy), certificates by CURL_CA_BUNDLE or
// SSL_CERT_FILE.
#pragma once

#include <nestvit/error.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nestvit {

// Time-outs and retries. 429, 5xx, dropped and stalled connections are tried again: after
// first_wait_s, then after twice as long each time, or after the time that Retry-After asks for. By
// default they wait 31 s in all without a new byte.
struct HttpPatience {
  int connect_s = 20;
  int stall_s = 30;  // slower than 1000 bytes a second for so long counts as dropped
  int tries = 6;     // in a row without a new byte; at most 2 when the server was never reached
  int tries_in_all = 60;  // for a connection that drops again and again
  double first_wait_s = 1;
  double longest_wait_s = 300;                // a Retry-After above this is an error
  std::function<void(double seconds)> sleep;  // for tests; empty: really waits
};

struct HttpRequest {
  std::string url;
  bool head = false;
  std::string bearer;  // a token, sent to the origin (scheme, host, port) of `url` only
  // Whether redirects to another origin are followed, or answered with the redirect itself.
  bool leave_origin = true;
  uint64_t max_body = 16 << 20;  // of http_ask
  int most_s = 120;              // for one try, waiting aside; 0: as long as it moves
  HttpPatience patience;
};

struct HttpResponse {
  int status = 0;
  std::string url;  // the last one asked
  // By lower-case name. X-... of redirects within the origin stay.
  std::map<std::string, std::string> headers;
  std::string body;

  std::string header(const std::string& name) const;  // "" when missing
};

// status(): the server's; 0: no (whole) answer, for instance without a network.
class HttpError : public Error {
 public:
  HttpError(const std::string& what, const std::string& hint, HttpResponse response)
      : Error(what, hint), response_(std::move(response)) {}
  int status() const { return response_.status; }
  const HttpResponse& response() const { return response_; }
  // No network, or a server in trouble: a cached file may serve instead.
  bool unavailable() const { return status() == 0 || status() == 429 || status() >= 500; }

 private:
  HttpResponse response_;
};

// The answer with status 2xx, or 3xx to another origin when that was asked for. Throws HttpError.
HttpResponse http_ask(const HttpRequest& request);

// Takes the answer piece by piece; called again for every try. An exception from it ends the
// transfer.
class HttpReceiver {
 public:
  virtual ~HttpReceiver() = default;
  virtual std::vector<std::string> headers() { return {}; }  // header lines to send
  virtual void begin(const HttpResponse& response) = 0;      // of a 2xx answer, without its body
  virtual bool take(std::string_view bytes) = 0;  // whether this is farther than ever before
  virtual std::string missing() { return ""; }    // "ends after 3 of 5 bytes", or "" when whole
  virtual void failed(int /*status*/) {}
};
// Throws HttpError when patience is at its end.
void http_transfer(const HttpRequest& request, HttpReceiver& receiver);

// The address for messages: without user, query and fragment, which may be secrets.
std::string http_shown(const std::string& url);
bool http_same_origin(const std::string& a, const std::string& b);
// The reason why a redirect must not be followed; "" when it may. Downgrades from https to http are
// refused, except to this machine.
std::string http_redirect_problem(const std::string& from, const std::string& to);
// Percent-encodes all but letters, digits and -._~
std::string http_escape(const std::string& text);
std::string http_unescape(const std::string& text);

}  // namespace nestvit
