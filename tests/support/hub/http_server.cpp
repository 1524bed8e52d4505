// One thread per connection, one request per connection.
#include "support/hub/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <stdexcept>

namespace nestvit::testing {
namespace {

constexpr size_t kLongestRequest = 64 << 10;

// All up to the empty line; requests of these tests have no body.
std::string read_head(int fd, const std::atomic<bool>& stopping) {
  std::string text;
  while (text.size() < kLongestRequest && text.find("\r\n\r\n") == std::string::npos) {
    pollfd waiting{fd, POLLIN, 0};
    if (stopping) return "";
    if (::poll(&waiting, 1, 50) == 0) continue;
    char piece[4096];
    const ssize_t got = ::recv(fd, piece, sizeof piece, 0);
    if (got <= 0) return "";
    text.append(piece, static_cast<size_t>(got));
  }
  return text;
}

Asked parse_head(const std::string& text) {
  Asked asked;
  size_t at = text.find("\r\n");
  const std::string first = text.substr(0, at);
  asked.method = first.substr(0, first.find(' '));
  const size_t from = asked.method.size() + 1;
  asked.target = first.substr(from, first.rfind(' ') - from);
  asked.path = asked.target.substr(0, asked.target.find('?'));
  for (at += 2; at < text.size();) {
    const size_t end = text.find("\r\n", at);
    const std::string line = text.substr(at, end - at);
    at = end + 2;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) break;
    std::string name = line.substr(0, colon);
    for (char& c : name) c = static_cast<char>(::tolower(c));
    asked.headers[name] = line.substr(line.find_first_not_of(' ', colon + 1));
  }
  return asked;
}

// The first byte that is asked for, when a range is.
std::optional<size_t> range_start(const Asked& asked, const Headers& headers) {
  const std::string range = asked.header("range");
  if (!range.starts_with("bytes=")) return std::nullopt;
  const std::string condition = asked.header("if-range");
  bool same = condition.empty();
  for (const auto& [name, value] : headers)
    if (name == "ETag" || name == "Last-Modified") same = same || value == condition;
  if (!same) return std::nullopt;
  return std::stoul(range.substr(6));
}

void serve(const Wire& wire, const Asked& asked, const std::string& content, size_t cut,
           Headers headers) {
  const auto start = range_start(asked, headers);
  const size_t from = start.value_or(0);
  if (from >= content.size() && start) {
    answer(wire, asked, 416, "", {{"Content-Range", fmt::format("bytes */{}", content.size())}});
    return;
  }
  if (start)
    headers.emplace_back("Content-Range",
                         fmt::format("bytes {}-{}/{}", from, content.size() - 1, content.size()));
  headers.emplace_back("Content-Length", std::to_string(content.size() - from));
  if (send_head(wire, start ? 206 : 200, headers) && asked.method != "HEAD")
    wire.send(std::string_view(content).substr(from, cut));
}

}  // namespace

bool Wire::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    if (stopping_) return false;
    pollfd waiting{fd_, POLLOUT, 0};
    if (::poll(&waiting, 1, 50) == 0) continue;
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return !stopping_;
}

bool send_head(const Wire& wire, int status, const Headers& headers) {
  std::string text = fmt::format("HTTP/1.1 {} Scripted\r\n", status);
  for (const auto& [name, value] : headers) text += fmt::format("{}: {}\r\n", name, value);
  return wire.send(text + "Connection: close\r\n\r\n");
}

void answer(const Wire& wire, const Asked& asked, int status, const std::string& body,
            const Headers& headers) {
  Headers all = headers;
  all.emplace_back("Content-Length", std::to_string(body.size()));
  if (send_head(wire, status, all) && asked.method != "HEAD") wire.send(body);
}

void serve_file(const Wire& wire, const Asked& asked, const std::string& content,
                const Headers& headers) {
  serve(wire, asked, content, content.size(), headers);
}

void serve_cut(const Wire& wire, const Asked& asked, const std::string& content, size_t bytes,
               const Headers& headers) {
  serve(wire, asked, content, bytes, headers);
}

HttpServer::HttpServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (listener_ < 0 || ::bind(listener_, generic, size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, generic, &size) != 0)
    throw std::runtime_error("no local port for the test server");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { accept_all(); });
}

HttpServer::~HttpServer() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  for (std::thread& conversation : conversations_) conversation.join();
  ::close(listener_);
}

std::string HttpServer::url(const std::string& path) const {
  return fmt::format("http://127.0.0.1:{}{}", port_, path);
}

std::vector<Asked> HttpServer::asked() const {
  const std::lock_guard lock(mutex_);
  return asked_;
}

int HttpServer::count(const std::string& method, const std::string& path) const {
  int number = 0;
  for (const Asked& request : asked()) number += request.method == method && request.path == path;
  return number;
}

void HttpServer::accept_all() {
  while (!stopping_) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) conversations_.emplace_back([this, fd] { converse(fd); });
  }
}

void HttpServer::converse(int fd) {
  const std::string head = read_head(fd, stopping_);
  if (!head.empty()) {
    const Asked request = parse_head(head);
    {
      const std::lock_guard lock(mutex_);
      asked_.push_back(request);
    }
    handler_(request, Wire(fd, stopping_));
  }
  ::shutdown(fd, SHUT_WR);  // what was sent arrives before the end does
  ::close(fd);
}

std::string noise(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed = seed * 1664525u + 1013904223u;
    byte = static_cast<char>(seed >> 24);
  }
  return bytes;
}

}  // namespace nestvit::testing
