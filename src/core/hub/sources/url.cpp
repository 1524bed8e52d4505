// Keeps each file under the hash of its address.
#include "hub/sources/url.h"

#include <fmt/format.h>

#include <optional>

#include "hub/cache.h"
#include "hub/part_file.h"
#include "hub/sources/answers.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

std::optional<fs::path> cached_file(const fs::path& folder) {
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(folder, missing))
    if (entry.is_regular_file() && !entry.path().filename().string().starts_with('.'))
      return entry.path();
  return std::nullopt;
}

}  // namespace

fs::path pull_from_url(const std::string& url, const Transport& transport) {
  const std::string hash = digest_text(DigestKind::kSha256, url).substr(0, 16);
  const fs::path folder = nestvit_cache() / "url" / hash;
  if (const auto cached = cached_file(folder)) return *cached;
  PartFile part(folder / ".download");
  if (const auto cached = cached_file(folder)) {  // another process was faster
    part.discard();
    return *cached;
  }
  Download download;
  download.url = url;
  download.label = file_name_of(url, "");
  const HttpResponse response = download_part(download, transport, part);
  const fs::path file = folder / file_name_of(url, response.header("content-disposition"));
  part.publish_as(file);
  return file;
}

}  // namespace nestvit
