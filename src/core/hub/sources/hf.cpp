// Speaks to the Hugging Face hub and keeps its cache as Python's huggingface_hub does, so that each
// uses the files that the other fetched.
#include "hub/sources/hf.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/fields.h"
#include "base/file.h"
#include "base/log.h"
#include "base/system/environment.h"
#include "base/text.h"
#include "hub/cache.h"
#include "hub/part_file.h"
#include "hub/sources/answers.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
// Best first. An index names the files of weights in parts.
const std::vector<std::string> kWeights = {"model.safetensors", "model.safetensors.index.json",
                                           "pytorch_model.bin", "pytorch_model.bin.index.json"};
// NesT on the hub, for "did you mean".
const std::vector<std::string> kKnownModels = {
    "timm/nest_tiny_jx.goog_in1k", "timm/nest_small_jx.goog_in1k", "timm/nest_base_jx.goog_in1k"};

bool is_part_of_path(const std::string& text) {
  return !text.empty() && text.size() <= 96 && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

bool is_commit(const std::string& revision) {
  return revision.size() == 40 &&
         revision.find_first_not_of("0123456789abcdef") == std::string::npos;
}

struct HubName {
  std::string owner, name, revision = "main";

  std::string id() const { return owner + "/" + name; }
  std::string folder() const { return fmt::format("models--{}--{}", owner, name); }
};

HubName parse_name(const std::string& text) {
  constexpr const char* kForm =
      "write hf://OWNER/NAME or hf://OWNER/NAME@REVISION, for instance "
      "hf://timm/nest_tiny_jx.goog_in1k";
  HubName hub;
  std::string id = text.substr(std::string("hf://").size());
  const size_t at = id.find('@');
  if (at != std::string::npos) {
    hub.revision = id.substr(at + 1);
    id.resize(at);
  }
  const size_t slash = id.find('/');
  hub.owner = id.substr(0, slash);
  hub.name = slash == std::string::npos ? "" : id.substr(slash + 1);
  if (!is_part_of_path(hub.owner) || !is_part_of_path(hub.name))
    throw UsageError(fmt::format("\"{}\" is not the name of a model on the hub", text), kForm);
  for (size_t from = 0; from <= hub.revision.size();) {  // a branch may have slashes: refs/pr/1
    const size_t to = std::min(hub.revision.find('/', from), hub.revision.size());
    if (!is_part_of_path(hub.revision.substr(from, to - from)))
      throw UsageError(fmt::format("\"{}\" is not a revision", hub.revision), kForm);
    from = to + 1;
  }
  return hub;
}

fs::path expanded(const std::string& path) {
  return path == "~" || path.starts_with("~/")
             ? home_folder() / path.substr(std::min<size_t>(2, path.size()))
             : fs::path(path);
}

bool is_true(const std::string& text) {
  const std::string word = ascii_lower(text);
  return word == "1" || word == "on" || word == "yes" || word == "true";
}

// The files beside an index that it names; none for other files.
std::vector<std::string> parts_of(const fs::path& file) {
  constexpr uint64_t kLargestIndex = 4 << 20;
  if (!file.string().ends_with(".index.json")) return {};
  return parse_parts(read_text(file, kLargestIndex), file.string());
}

// Settings by the environment variables of huggingface_hub.
struct Hub {
  std::string endpoint, token;
  fs::path cache;
  bool offline = false;
};

std::string read_token(const fs::path& home) {
  std::string token = environment_variable("HF_TOKEN").value_or("");
  const auto file = environment_variable("HF_TOKEN_PATH");
  const fs::path path = file ? expanded(*file) : home / "token";
  std::error_code ignored;
  if (token.empty() && fs::is_regular_file(path, ignored)) token = read_text(path, 4096);
  constexpr const char* kBlank = " \t\r\n";
  token.erase(0, std::min(token.find_first_not_of(kBlank), token.size()));
  token.erase(token.find_last_not_of(kBlank) + 1);
  if (std::any_of(token.begin(), token.end(), [](unsigned char c) { return c <= ' ' || c > '~'; }))
    throw Error("the Hugging Face token has characters that no token has",
                "check HF_TOKEN, or the file " + path.string());
  return token;
}

Hub read_environment() {
  Hub hub;
  hub.endpoint = environment_variable("HF_ENDPOINT").value_or("https://huggingface.co");
  while (hub.endpoint.ends_with('/')) hub.endpoint.pop_back();
  const auto home = environment_variable("HF_HOME"), xdg = environment_variable("XDG_CACHE_HOME");
  const fs::path home_path = home  ? expanded(*home)
                             : xdg ? expanded(*xdg) / "huggingface"
                                   : home_folder() / ".cache" / "huggingface";
  auto cache = environment_variable("HF_HUB_CACHE");
  if (!cache) cache = environment_variable("HUGGINGFACE_HUB_CACHE");  // its older name
  hub.cache = cache ? expanded(*cache) : home_path / "hub";
  hub.token = read_token(home_path);
  hub.offline = is_true(environment_variable("HF_HUB_OFFLINE").value_or(""));
  return hub;
}

class Puller {
 public:
  Puller(HubName name, const Transport& transport)
      : name_(std::move(name)),
        hub_(read_environment()),
        transport_(transport),
        folder_(hub_.cache / name_.folder()) {}

  fs::path pull() {
    const auto cached = cached_snapshot();
    if (cached && (hub_.offline || is_commit(name_.revision))) return *cached;
    if (hub_.offline)
      throw Error(
          fmt::format("{} at \"{}\" is not in the cache {}, and HF_HUB_OFFLINE forbids to fetch it",
                      name_.id(), name_.revision, hub_.cache.string()),
          "unset HF_HUB_OFFLINE, or pull it on a machine with a network and copy the cache");
    try {
      return fetch(cached.has_value());
    } catch (const HttpError& error) {
      if (!cached || !error.unavailable()) throw;
      log_warning(fmt::format("{}; going on with the cached \"{}\" of {}", error.what(),
                              name_.revision, name_.id()));
      return *cached;
    }
  }

 private:
  // The folder that the cache has for the revision, with all that a model needs.
  std::optional<fs::path> cached_snapshot() const {
    std::string commit = name_.revision;
    std::error_code ignored;
    if (!is_commit(commit)) {
      const fs::path ref = folder_ / "refs" / name_.revision;
      if (!fs::is_regular_file(ref, ignored)) return std::nullopt;
      commit = read_text(ref, 4096);
      commit.erase(commit.find_last_not_of(" \r\n") + 1);
      if (!is_part_of_path(commit)) return std::nullopt;
    }
    const fs::path snapshot = folder_ / "snapshots" / commit;
    const auto has = [&](const std::string& file) { return fs::exists(snapshot / file, ignored); };
    const auto weights = std::find_if(kWeights.begin(), kWeights.end(), has);
    if (!has(kConfig) || weights == kWeights.end()) return std::nullopt;
    const auto parts = parts_of(snapshot / *weights);
    if (!std::all_of(parts.begin(), parts.end(), has)) return std::nullopt;
    return snapshot;
  }

  fs::path fetch(bool cached) {
    const HubAnswer answer = ask_hub(cached);
    const fs::path snapshot = folder_ / "snapshots" / answer.commit;
    for (const std::string& file : wanted(answer)) {
      fetch_one(answer.commit, file, snapshot / file);
      for (const std::string& part : parts_of(snapshot / file))
        fetch_one(answer.commit, part, snapshot / part);
    }
    if (!is_commit(name_.revision)) write_ref(answer.commit);  // last: it leads to a whole snapshot
    return snapshot;
  }

  void write_ref(const std::string& commit) const {
    const fs::path ref = folder_ / "refs" / name_.revision;
    std::error_code ignored;
    if (fs::is_regular_file(ref, ignored) && read_text(ref, 4096) == commit) return;
    try {
      make_folder(ref.parent_path());
      write_file(ref, std::string_view(commit));
    } catch (const Error& error) {  // a cache of others, read-only: only offline use needs it
      log_warning(error.what());
    }
  }

  HttpRequest request(const std::string& url) const {
    HttpRequest request;
    request.url = url;
    request.bearer = hub_.token;
    request.patience = transport_.patience;
    return request;
  }

  std::string file_url(const std::string& revision, const std::string& file) const {
    return fmt::format("{}/{}/resolve/{}/{}", hub_.endpoint, name_.id(), http_escape(revision),
                       file);
  }

  HubAnswer ask_hub(bool cached) const {
    const std::string url = fmt::format("{}/api/models/{}/revision/{}", hub_.endpoint, name_.id(),
                                        http_escape(name_.revision));
    HttpRequest ask = request(url);
    if (cached) {  // the cached snapshot will do
      ask.patience.tries = 1;
      ask.patience.connect_s = 10;
    }
    try {
      return parse_hub_answer(http_ask(ask).body, http_shown(url));
    } catch (const HttpError& error) {
      // A mirror of plain files has no such list, and says no more than 404.
      if (error.status() != 404 || !error.response().header("x-error-code").empty()) explain(error);
    }
    HubAnswer answer;
    std::vector<std::string> files = kWeights;
    files.emplace_back(kConfig);
    for (const std::string& file : files) {
      const auto head = ask_head(name_.revision, file);
      if (!head) continue;
      answer.commit = head->header("x-repo-commit");
      answer.files.push_back(file);
    }
    if (answer.files.empty()) throw not_found();
    if (!is_part_of_path(answer.commit))
      throw Error(
          fmt::format("{} does not say which commit it serves (no X-Repo-Commit)", hub_.endpoint),
          "is HF_ENDPOINT the address of a Hugging Face hub?");
    return answer;
  }

  // Nothing when the file is not there.
  std::optional<HttpResponse> ask_head(const std::string& revision, const std::string& file) const {
    HttpRequest ask = request(file_url(revision, file));
    ask.head = true;
    ask.leave_origin = false;  // the redirect itself says what is needed
    try {
      return http_ask(ask);
    } catch (const HttpError& error) {
      if (error.status() == 404) return std::nullopt;
      explain(error);
    }
  }

  std::vector<std::string> wanted(const HubAnswer& answer) const {
    const auto has = [&](const std::string& file) {
      return std::find(answer.files.begin(), answer.files.end(), file) != answer.files.end();
    };
    const auto weights = std::find_if(kWeights.begin(), kWeights.end(), has);
    if (has(kConfig) && weights != kWeights.end()) return {kConfig, *weights};
    throw Error(
        fmt::format("{} has no {}", name_.id(),
                    has(kConfig) ? fmt::format("{} and no {}", kWeights[0], kWeights[2]) : kConfig),
        "a model on the hub needs both a description and weights, as timm writes them");
  }

  void fetch_one(const std::string& commit, const std::string& file,
                 const fs::path& pointer) const {
    std::error_code ignored;
    if (fs::exists(pointer, ignored)) return;
    const auto head = ask_head(commit, file);
    if (!head) throw not_found();
    Download download;
    std::string etag = head->header("x-linked-etag");
    if (etag.empty()) etag = head->header("etag");
    etag.erase(0, etag.starts_with("W/") ? 2 : 0);
    std::erase(etag, '"');
    if (!is_part_of_path(etag))
      throw Error(fmt::format("{} states no usable ETag for {}", http_shown(head->url), file),
                  "is HF_ENDPOINT the address of a Hugging Face hub?");
    download.url = file_url(commit, file);
    download.label = file;
    download.bearer = hub_.token;
    download.size = stated_size(*head);
    download.checksums = checksums(etag);
    download.fixed = true;  // the ETag, which names the part, is of the content
    const fs::path blob = folder_ / "blobs" / etag;
    const FileLock lock(hub_.cache / ".locks" / name_.folder() / (etag + ".lock"));
    fetch_file(download, transport_, blob);
    link(blob, pointer);
  }

  static std::optional<uint64_t> stated_size(const HttpResponse& head) {
    std::string text = head.header("x-linked-size");
    if (text.empty() && head.status < 300) text = head.header("content-length");
    if (text.empty() || text.size() > 15 ||
        text.find_first_not_of("0123456789") != std::string::npos)
      return std::nullopt;
    return std::stoull(text);
  }

  // Large files have their SHA-256 as ETag, others that of git; a mirror may have its own.
  static std::vector<Checksum> checksums(const std::string& etag) {
    if (etag.find_first_not_of("0123456789abcdef") != std::string::npos) return {};
    if (etag.size() == 64) return {{DigestKind::kSha256, etag}};
    if (etag.size() == 40) return {{DigestKind::kSha1, etag, true}};
    return {};
  }

  static void link(const fs::path& blob, const fs::path& pointer) {
    make_folder(pointer.parent_path());
    std::error_code error;
    if (fs::is_symlink(pointer, error)) fs::remove(pointer, error);  // to a blob that is gone
    fs::create_symlink(fs::path("../..") / "blobs" / blob.filename(), pointer, error);
    if (error && error != std::errc::file_exists)
      fs::rename(blob, pointer, error);  // no links here
    if (error && error != std::errc::file_exists)
      throw Error(fmt::format("cannot write {}: {}", pointer.string(), error.message()));
  }

  Error not_found() const {
    const std::string close = nearest(name_.id(), kKnownModels);
    return Error(
        fmt::format("{} has no model {} at \"{}\"", hub_.endpoint, name_.id(), name_.revision),
        close.empty() || close == name_.id()
            ? "check owner, name and revision: hf://OWNER/NAME@REVISION"
            : fmt::format("did you mean hf://{}?", close));
  }

  // The same error in the hub's terms.
  [[noreturn]] void explain(const HttpError& error) const {
    const std::string code = error.response().header("x-error-code");
    if (code == "RevisionNotFound")
      throw Error(fmt::format("{} has no revision \"{}\"", name_.id(), name_.revision),
                  "name a branch, a tag or a commit of it; without @REVISION it is main");
    if (error.status() == 404) throw not_found();
    const std::string page = fmt::format("{}/{}", hub_.endpoint, name_.id());
    if (code == "GatedRepo" || error.status() == 403)
      throw HttpError(
          error.what(),
          fmt::format("accept the licence at {} and set HF_TOKEN to a token that may read it",
                      page),
          error.response());
    if (error.status() == 401) {
      const std::string close = nearest(name_.id(), kKnownModels);
      throw HttpError(
          fmt::format("{} is not there for {} (401)", name_.id(),
                      hub_.token.empty() ? "everybody" : "the token that is set"),
          fmt::format("{}if it is private, set HF_TOKEN; if it needs a licence, accept that at {}",
                      close.empty() || close == name_.id()
                          ? "check the name; "
                          : fmt::format("did you mean hf://{}? ", close),
                      page),
          error.response());
    }
    throw HttpError(error);
  }

  const HubName name_;
  const Hub hub_;
  const Transport& transport_;
  const fs::path folder_;
};

}  // namespace

fs::path pull_from_hf(const std::string& name, const Transport& transport) {
  return Puller(parse_name(name), transport).pull();
}

}  // namespace nestvit
