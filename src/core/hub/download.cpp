// Decides which part of an answer may be appended to the part that is there.
#include "hub/download.h"

#include <fmt/format.h>

#include <charconv>

#include "base/log.h"
#include "hub/part_file.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

std::optional<uint64_t> whole_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "bytes 10-99/100", "bytes 10-99/*"
struct ContentRange {
  uint64_t first = 0, last = 0;
  std::optional<uint64_t> total;
};

std::optional<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  const size_t dash = text.find('-'), slash = text.find('/');
  if (!text.starts_with(kUnit) || slash == std::string_view::npos || dash > slash)
    return std::nullopt;
  const auto first = whole_number(text.substr(kUnit.size(), dash - kUnit.size()));
  const auto last = whole_number(text.substr(dash + 1, slash - dash - 1));
  if (!first || !last || *last < *first) return std::nullopt;
  return ContentRange{*first, *last, whole_number(text.substr(slash + 1))};
}

class Saver : public HttpReceiver {
 public:
  Saver(const Download& download, const Transport& transport, PartFile& part)
      : download_(download), transport_(transport), part_(part) {
    const bool of_unknown_version = !download.fixed && part.mark().empty();
    if (of_unknown_version || part.size() > download.size.value_or(download.max_bytes))
      part.clear();
    farthest_ = part.size();
  }

  bool whole() const { return download_.size && part_.size() == *download_.size; }
  const HttpResponse& response() const { return response_; }

  std::vector<std::string> headers() override {
    if (!download_.fixed && part_.mark().empty()) part_.clear();
    if (part_.size() == 0) return {};
    std::vector<std::string> lines = {fmt::format("Range: bytes={}-", part_.size())};
    if (!download_.fixed) lines.push_back("If-Range: " + part_.mark());
    return lines;
  }

  void begin(const HttpResponse& response) override {
    response_ = response;
    const auto length = whole_number(response.header("content-length"));
    if (response.status == 206) {
      total_ = continued_total(length);
    } else {
      part_.clear();
      total_ = length;
    }
    if (download_.size && total_.value_or(*download_.size) != *download_.size)
      refuse(fmt::format("the server sends {} bytes of it, {} are expected", *total_,
                         *download_.size));
    if (download_.size) total_ = download_.size;
    if (total_ && *total_ > download_.max_bytes) too_large();
    check_space();
    if (!download_.fixed) part_.set_mark(mark_of(response));
    if (transport_.progress && total_ && !bar_)
      bar_.emplace(download_.label, static_cast<int64_t>(*total_));
  }

  bool take(std::string_view bytes) override {
    if (total_ && bytes.size() > *total_ - part_.size())
      refuse(fmt::format("the server sends more than its {} bytes", *total_));
    if (bytes.size() > download_.max_bytes - part_.size()) too_large();
    part_.append(bytes);
    if (bar_ && bar_->due()) bar_->update(static_cast<int64_t>(part_.size()), megabytes());
    if (part_.size() <= farthest_) return false;
    farthest_ = part_.size();
    return true;
  }

  // A connection may end early without an error.
  std::string missing() override {
    if (total_ && part_.size() < *total_)
      return fmt::format("ends after {} of {} bytes", part_.size(), *total_);
    if (bar_) bar_->finish(megabytes());
    return "";
  }

  void failed(int status) override {
    if (status == 416) part_.clear();
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw HttpError(fmt::format("{} from {}: {}", download_.label, http_shown(response_.url), why),
                    "the server, or a proxy on the way, is at fault: try again later", response_);
  }

  [[noreturn]] void too_large() const {
    refuse(fmt::format("it has more than {} bytes, the most that is expected here",
                       download_.max_bytes));
  }

  std::string megabytes() const {
    return fmt::format("{:.1f} MB", static_cast<double>(part_.size()) / 1e6);
  }

  // The size of the whole file by an answer that continues it. Refuses an answer that does not.
  std::optional<uint64_t> continued_total(std::optional<uint64_t> length) const {
    const std::string text = response_.header("content-range");
    const auto range = parse_content_range(text);
    const bool fits =
        range && part_.size() > 0 && range->first == part_.size() &&
        (!range->total || range->last < *range->total) &&
        (!download_.size || range->total.value_or(*download_.size) == *download_.size) &&
        (!length || *length == range->last - range->first + 1);
    if (!fits)
      refuse(fmt::format("the part from byte {} on was asked for, the server answers with \"{}\"",
                         part_.size(), text.substr(0, 100)));
    return range->total;
  }

  void check_space() const {
    std::error_code unknown;
    const auto space = fs::space(fs::absolute(part_.path()).parent_path(), unknown);
    if (unknown || !total_ || space.available >= *total_ - part_.size()) return;
    throw Error(
        fmt::format("{} needs {} more bytes in {}, which has {} free", download_.label,
                    *total_ - part_.size(), part_.path().parent_path().string(), space.available),
        "free some space, or name another folder");
  }

  // The version of the content, as far as the server tells: a strong ETag, else the date.
  static std::string mark_of(const HttpResponse& response) {
    const std::string etag = response.header("etag");
    return etag.starts_with("\"") ? etag : response.header("last-modified");
  }

  const Download& download_;
  const Transport& transport_;
  PartFile& part_;
  HttpResponse response_;
  std::optional<uint64_t> total_;
  uint64_t farthest_ = 0;
  std::optional<Progress> bar_;
};

}  // namespace

HttpResponse download_part(const Download& download, const Transport& transport, PartFile& part) {
  Saver saver(download, transport, part);
  HttpRequest request;
  request.url = download.url;
  request.bearer = download.bearer;
  request.patience = transport.patience;
  request.most_s = 0;
  if (!saver.whole()) http_transfer(request, saver);
  return saver.response();
}

void verify_part(const Download& download, PartFile& part) {
  for (const Checksum& expected : download.checksums) {
    const std::string got = digest_file(expected, part.path());
    if (got == expected.hex) continue;
    part.discard();
    throw Error(fmt::format("{} from {} is damaged: its {} is {}, expected {}", download.label,
                            http_shown(download.url), expected.name(), got, expected.hex),
                "the download is removed: try again; if the sums still differ, the server has "
                "another file than it states");
  }
}

void fetch_file(const Download& download, const Transport& transport, const fs::path& file) {
  std::error_code ignored;
  if (fs::exists(file, ignored)) return;
  PartFile part(file);
  if (fs::exists(file, ignored)) {  // another process was faster
    part.discard();
    return;
  }
  download_part(download, transport, part);
  verify_part(download, part);
  part.publish();
}

}  // namespace nestvit
