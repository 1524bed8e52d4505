// A scripted HTTP server on 127.0.0.1: real sockets, answers as good or as bad as a test wants
// them.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace nestvit::testing {

// A request as it came in.
struct Asked {
  std::string method, target, path;            // path: target without its query
  std::map<std::string, std::string> headers;  // by lower-case name

  std::string header(const std::string& name) const {
    const auto at = headers.find(name);
    return at == headers.end() ? "" : at->second;
  }
};

// The connection of one request, which is closed when the handler returns.
class Wire {
 public:
  Wire(int fd, const std::atomic<bool>& stopping) : fd_(fd), stopping_(stopping) {}
  // False when the client has gone, or the server is told to stop.
  bool send(std::string_view bytes) const;

 private:
  int fd_;
  const std::atomic<bool>& stopping_;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

// Status line and headers, as given.
bool send_head(const Wire& wire, int status, const Headers& headers);
// A whole answer with its Content-Length; the body is left out for HEAD.
void answer(const Wire& wire, const Asked& asked, int status, const std::string& body,
            const Headers& headers = {});
// The file, or the part that Range (and If-Range) asks for.
void serve_file(const Wire& wire, const Asked& asked, const std::string& content,
                const Headers& headers = {});
// The same, but the connection ends after `bytes` of the body.
void serve_cut(const Wire& wire, const Asked& asked, const std::string& content, size_t bytes,
               const Headers& headers = {});

class HttpServer {
 public:
  using Handler = std::function<void(const Asked&, const Wire&)>;
  explicit HttpServer(Handler handler);
  ~HttpServer();
  std::string url(const std::string& path = "") const;
  std::vector<Asked> asked() const;  // so far, in order
  int count(const std::string& method, const std::string& path) const;

 private:
  void accept_all();
  void converse(int fd);

  const Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  std::vector<Asked> asked_;
  std::vector<std::thread> conversations_;
  std::thread thread_;
};

// Bytes without a pattern that a wrong offset would hide behind.
std::string noise(size_t size, uint32_t seed = 1);

}  // namespace nestvit::testing
