// Google Cloud Storage by its public JSON API: official checkpoint folders, and single objects.
#include "hub/sources/gcs.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

#include "base/file.h"
#include "base/system/environment.h"
#include "hub/cache.h"
#include "hub/part_file.h"
#include "hub/sources/answers.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCheckpoint = "checkpoint";
constexpr uint64_t kLongestCheckpoint = 1 << 20;
constexpr int kMostPages = 50;  // of 1000 objects

struct GcsName {
  std::string bucket, path;  // "gresearch", "nest-checkpoints/nest-t_imagenet"
};

// "ckpt.39" or "ckpt-39", which the reference's commands append to the folder.
bool means_the_folder(const std::string& last) {
  return (last.starts_with("ckpt.") || last.starts_with("ckpt-")) && last.size() > 5 &&
         last.find_first_not_of("0123456789", 5) == std::string::npos;
}

GcsName parse_name(const std::string& text) {
  GcsName name;
  std::vector<std::string> parts;
  std::string rest = text.substr(std::string("gs://").size());
  while (rest.ends_with('/')) rest.pop_back();
  for (size_t from = 0; from <= rest.size();) {
    const size_t to = std::min(rest.find('/', from), rest.size());
    parts.push_back(rest.substr(from, to - from));
    from = to + 1;
  }
  const bool safe = std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
    return !part.empty() && part.size() <= 200 && part != "." && part != ".." &&
           std::all_of(part.begin(), part.end(), [](unsigned char c) {
             return c >= ' ' && c != '?' && c != '#' && c != '\\';
           });
  });
  if (parts.size() > 2 && means_the_folder(parts.back())) parts.pop_back();
  if (!safe || parts.size() < 2)
    throw UsageError(
        fmt::format("\"{}\" is not a name in a bucket", text),
        "write gs://BUCKET/PATH, for instance gs://gresearch/nest-checkpoints/nest-t_imagenet");
  name.bucket = parts[0];
  name.path = fmt::format("{}", fmt::join(parts.begin() + 1, parts.end(), "/"));
  return name;
}

// STORAGE_EMULATOR_HOST is HOST:PORT for some of Google's clients and an address for others.
std::string endpoint() {
  std::string host = environment_variable("STORAGE_EMULATOR_HOST").value_or("");
  if (host.empty()) return "https://storage.googleapis.com";
  while (host.ends_with('/')) host.pop_back();
  return host.find("://") == std::string::npos ? "http://" + host : host;
}

class Puller {
 public:
  Puller(GcsName name, const Transport& transport)
      : name_(std::move(name)),
        transport_(transport),
        objects_url_(fmt::format("{}/storage/v1/b/{}/o", endpoint(), http_escape(name_.bucket))),
        target_(nestvit_cache() / "gs" / name_.bucket / name_.path) {}

  fs::path pull() {
    std::error_code ignored;
    // The text file comes last into a folder, so that its presence means a whole checkpoint.
    if (fs::is_regular_file(target_, ignored) || fs::exists(target_ / kCheckpoint, ignored))
      return target_;
    const auto objects = list();
    if (objects.empty()) {
      fetch(single(), target_);
      return target_;
    }
    const GcsObject& text_object = find(objects, kCheckpoint);
    const std::string text = read(text_object);
    const std::string newest = newest_in(text, shown(kCheckpoint));
    find(objects, newest + ".flax");
    for (const GcsObject& object : objects) {
      const std::string file = object.name.substr(name_.path.size() + 1);
      if (file.starts_with(newest + ".") && file.find('/') == std::string::npos)
        fetch(object, target_ / file);
    }
    write_file(target_ / kCheckpoint, std::string_view(text));
    return target_;
  }

 private:
  std::string shown(const std::string& file) const {
    return fmt::format("gs://{}/{}/{}", name_.bucket, name_.path, file);
  }

  HttpResponse ask(const std::string& url) const {
    HttpRequest request;
    request.url = url;
    request.patience = transport_.patience;
    try {
      return http_ask(request);
    } catch (const HttpError& error) {
      if (error.status() == 401 || error.status() == 403)
        throw HttpError(
            fmt::format("gs://{}/{} is not public ({})", name_.bucket, name_.path, error.status()),
            "nestvit reads public buckets; copy a private one with \"gcloud storage cp\" and name "
            "the folder",
            error.response());
      if (error.status() == 404)
        throw HttpError(fmt::format("there is no gs://{}/{}", name_.bucket, name_.path),
                        "check bucket and path: gs://BUCKET/PATH", error.response());
      throw;
    }
  }

  // All objects below the path, as a folder.
  std::vector<GcsObject> list() const {
    std::vector<GcsObject> objects;
    const std::string prefix = name_.path + "/";
    std::string token;
    for (int page_number = 0; page_number < kMostPages; ++page_number) {
      std::string url = fmt::format("{}?prefix={}", objects_url_, http_escape(prefix));
      if (!token.empty()) url += "&pageToken=" + http_escape(token);
      const GcsPage page = parse_gcs_page(ask(url).body, http_shown(url));
      for (const GcsObject& object : page.objects)
        if (object.name.starts_with(prefix) && object.name.size() > prefix.size())
          objects.push_back(object);
      if (page.next.empty()) return objects;
      token = page.next;
    }
    throw Error(fmt::format("gs://{}/{} holds too many objects", name_.bucket, name_.path),
                "name the folder of one checkpoint");
  }

  GcsObject single() const {
    const std::string url = object_url(name_.path);
    return parse_gcs_object(ask(url).body, http_shown(url));
  }

  const GcsObject& find(const std::vector<GcsObject>& objects, const std::string& file) const {
    for (const GcsObject& object : objects)
      if (object.name == name_.path + "/" + file) return object;
    throw Error(
        fmt::format("there is no {}", shown(file)),
        "an official checkpoint folder holds \"checkpoint\" and the ckpt-N.flax that it names");
  }

  std::string object_url(const std::string& object) const {
    return objects_url_ + "/" + http_escape(object);
  }

  std::string content_url(const GcsObject& object) const {
    std::string url = object_url(object.name) + "?alt=media";
    if (!object.generation.empty()) url += "&generation=" + object.generation;
    return url;
  }

  std::string read(const GcsObject& object) const {
    if (object.size > kLongestCheckpoint)
      throw Error(
          fmt::format("{} has {} bytes, which is too long for the text of a checkpoint folder",
                      shown(kCheckpoint), object.size));
    std::string text = ask(content_url(object)).body;
    if (text.size() != object.size)
      throw Error(fmt::format("{} has {} bytes, {} are expected", shown(kCheckpoint), text.size(),
                              object.size),
                  "try again");
    for (const Checksum& checksum : object.checksums)
      if (digest_text(checksum.kind, text) != checksum.hex)
        throw Error(fmt::format("{} is damaged: its {} is {}, expected {}", shown(kCheckpoint),
                                checksum.name(), digest_text(checksum.kind, text), checksum.hex),
                    "try again");
    return text;
  }

  void fetch(const GcsObject& object, const fs::path& file) const {
    Download download;
    download.url = content_url(object);
    download.label = object.name.substr(object.name.rfind('/') + 1);
    download.size = object.size;
    download.checksums = object.checksums;
    download.fixed = !object.generation.empty();
    fetch_file(download, transport_, file);
  }

  const GcsName name_;
  const Transport& transport_;
  const std::string objects_url_;
  const fs::path target_;
};

}  // namespace

fs::path pull_from_gcs(const std::string& name, const Transport& transport) {
  return Puller(parse_name(name), transport).pull();
}

}  // namespace nestvit
