// The Hugging Face hub's protocol as its own client sees it: the model API, resolve/ with redirects
// of large files to another host, tokens, error codes.
#pragma once

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "hub/digest.h"
#include "support/hub/http_server.h"

namespace nestvit::testing {

class FakeHub {
 public:
  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

  struct File {
    std::string content;
    bool large = false;  // by LFS: redirected to the CDN, SHA-256 as ETag
    std::string etag;    // another one than the true one, for lies
  };

  FakeHub()
      : cdn_([this](const Asked& a, const Wire& w) { serve_cdn(a, w); }),
        server_([this](const Asked& a, const Wire& w) { serve(a, w); }) {}

  std::string url() const { return server_.url(); }
  const HttpServer& server() const { return server_; }
  const HttpServer& cdn() const { return cdn_; }

  // Set up before the first request.
  std::string id = "timm/nest_tiny_jx.goog_in1k";
  std::map<std::string, File> files = {
      {"config.json", {"{\"architecture\": \"nest_tiny\"}", false, ""}},
      {"model.safetensors", {noise(200'000), true, ""}},
      {"pytorch_model.bin", {noise(200'001, 2), true, ""}},
      {"README.md", {"# readme", false, ""}}};
  std::string token;  // when set, all else is 401
  bool gated = false;
  bool has_api = true;
  size_t cut_after = 0;  // the CDN's first answer ends after so many bytes
  bool broken = false;   // 503 for everything

  static std::string etag(const File& file) {
    if (!file.etag.empty()) return file.etag;
    if (file.large) return digest_text(DigestKind::kSha256, file.content);
    return digest_text(DigestKind::kSha1,
                       fmt::format("blob {}", file.content.size()) + '\0' + file.content);
  }

 private:
  static void error(const Asked& a, const Wire& w, int status, const std::string& code,
                    const std::string& text) {
    answer(w, a, status, "{\"error\": \"" + text + "\"}",
           {{"X-Error-Code", code}, {"X-Error-Message", text}});
  }

  void serve(const Asked& a, const Wire& w) {
    if (broken) return answer(w, a, 503, "");
    if (!token.empty() && a.header("authorization") != "Bearer " + token)
      return error(a, w, 401, "RepoNotFound", "Repository not found");
    const std::string api = "/api/models/" + id;
    if (a.path == api || a.path.starts_with(api + "/revision/")) return serve_api(a, w);
    const std::string resolve = "/" + id + "/resolve/";
    if (a.path.starts_with(resolve)) return serve_resolve(a, w, a.path.substr(resolve.size()));
    if (a.path.starts_with("/api/"))
      return error(a, w, 404, "RepoNotFound", "Repository not found");
    answer(w, a, 404, "");
  }

  static bool known(const std::string& revision) {
    return revision == "main" || revision == "v1" || revision == "refs%2Fpr%2F1" ||
           revision == kCommit;
  }

  void serve_api(const Asked& a, const Wire& w) {
    if (!has_api) return answer(w, a, 404, "no such page");
    if (!known(a.path.substr(a.path.rfind('/') + 1)) &&
        a.path.find("/revision/") != std::string::npos)
      return error(a, w, 404, "RevisionNotFound", "Invalid rev id");
    nlohmann::json list = nlohmann::json::array();
    for (const auto& [name, file] : files) list.push_back({{"rfilename", name}});
    answer(w, a, 200, nlohmann::json({{"id", id}, {"sha", kCommit}, {"siblings", list}}).dump(),
           {{"Content-Type", "application/json"}});
  }

  void serve_resolve(const Asked& a, const Wire& w, const std::string& rest) {
    const std::string revision = rest.substr(0, rest.find('/'));
    if (!known(revision)) return error(a, w, 404, "RevisionNotFound", "Invalid rev id");
    if (gated) return error(a, w, 403, "GatedRepo", "Access to this model is restricted");
    const auto file = files.find(rest.substr(rest.find('/') + 1));
    if (file == files.end()) return error(a, w, 404, "EntryNotFound", "Entry not found");
    const std::string tag = "\"" + etag(file->second) + "\"";
    if (!file->second.large)
      return serve_file(w, a, file->second.content, {{"ETag", tag}, {"X-Repo-Commit", kCommit}});
    answer(w, a, 302, "Found. Redirecting",
           {{"Location", cdn_.url("/" + file->first + "?Signature=secret")},
            {"X-Repo-Commit", kCommit},
            {"X-Linked-Etag", tag},
            {"X-Linked-Size", std::to_string(file->second.content.size())}});
  }

  void serve_cdn(const Asked& a, const Wire& w) {
    const auto file = files.find(a.path.substr(1));
    if (!a.header("authorization").empty() || file == files.end()) return answer(w, a, 400, "");
    const size_t cut = std::exchange(cut_after, 0);
    const Headers headers = {{"ETag", "\"of-the-cdn\""}};
    cut > 0 ? serve_cut(w, a, file->second.content, cut, headers)
            : serve_file(w, a, file->second.content, headers);
  }

  HttpServer cdn_, server_;
};

}  // namespace nestvit::testing
