// Threads check one image each. Findings that need all images (doubles, balance) follow from a
// record of 56 bytes per image.
#include "data/check/check.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>

#include "base/system/processors.h"
#include "base/text.h"
#include "data/check/content_hash.h"
#include "data/check/parts.h"
#include "data/formats/image_files.h"
#include "image/codecs/codec.h"

namespace nestvit {
namespace {

constexpr std::array<std::array<const char*, 2>, kFindingKinds> kNames = {{
    {"refused", "training would not start"},
    {"broken", "broken images"},
    {"odd-format", "formats that cannot be read"},
    {"ignored", "pictures that are not read"},
    {"structure", "not read, or perhaps meant otherwise"},
    {"leak", "the same picture in two parts"},
    {"two-classes", "the same picture under two classes"},
    {"duplicate", "the same picture twice in a class"},
    {"extension", "another format than the extension says"},
    {"tiny", "tiny images"},
    {"aspect", "very long or tall images"},
    {"empty-class", "classes without images"},
    {"unbalanced", "classes far smaller or larger than the median"},
}};

// Above this one image at a time: threads must not multiply the memory of a huge one.
constexpr int64_t kLargePixels = 16'000'000;

constexpr std::array<const char*, 4> kFormats = {"raw", "jpeg", "png", "webp"};

struct Record {
  ContentHash bytes, pixels;
  int height = 0, width = 0;  // 0: not decoded
  int class_id = -1;          // over all parts
  int8_t part = 0;
  int8_t format = 0;  // of kFormats
};

std::string without_name(const std::string& text, const std::string& name) {
  return text.starts_with(name + ": ") ? text.substr(name.size() + 2) : text;
}

class Checker {
 public:
  explicit Checker(const CheckOptions& options)
      : options_(options), parts_(open_check_parts(options.data)) {
    for (const auto& [name, dataset] : parts_.parts) {
      starts_.push_back(total_);
      total_ += dataset->size();
      for (const auto& class_name : dataset->classes()) class_ids_.emplace(class_name, 0);
    }
    int id = 0;
    for (auto& entry : class_ids_) {
      entry.second = id++;
      class_names_.push_back(entry.first);
    }
    records_.resize(total_);
  }

  CheckResult run() {
    const auto start = std::chrono::steady_clock::now();
    look_at_all();
    find_doubles();
    find_unbalanced();
    CheckResult result = summary();
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
  }

 private:
  void look_at_all();
  void look_at(int64_t index);
  void look_at_sample(const Sample& sample, int64_t index, Record* record);
  Image decode(const Sample& sample, Record* record);
  void find_doubles();
  void find_doubles_in(std::span<const int64_t> group);
  void find_unbalanced();
  CheckResult summary();

  int part_of(int64_t index) const {
    return static_cast<int>(std::upper_bound(starts_.begin(), starts_.end(), index) -
                            starts_.begin()) -
           1;
  }
  const Dataset& dataset(int part) const { return *parts_.parts[part].second; }
  std::string file(int64_t index) const {
    const int part = part_of(index);
    return dataset(part).name(index - starts_[part]);
  }
  void found(FindingKind kind, int64_t index, std::string detail) {
    const Record& record = records_[index];
    Finding finding{kind, parts_.parts[record.part].first,
                    record.class_id < 0 ? "" : class_names_[record.class_id], file(index),
                    std::move(detail)};
    const std::lock_guard lock(mutex_);
    found_.emplace_back(index, std::move(finding));
  }

  const CheckOptions& options_;
  CheckParts parts_;
  std::vector<int64_t> starts_;  // of each part, in records_
  std::map<std::string, int> class_ids_;
  std::vector<std::string> class_names_;
  int64_t total_ = 0;
  std::vector<Record> records_;
  std::atomic<int64_t> bytes_{0};
  std::mutex mutex_;  // of found_
  std::vector<std::pair<int64_t, Finding>> found_;
  std::mutex large_;  // held while a large image is decoded
};

void Checker::look_at_all() {
  std::atomic<int64_t> next{0}, done{0};
  std::mutex mutex;
  std::condition_variable idle;
  std::exception_ptr failure;
  int running = 0;
  const auto work = [&] {
    try {
      for (int64_t i; (i = next++) < total_; ++done) look_at(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      next = total_;
    }
    const std::lock_guard lock(mutex);
    --running;
    idle.notify_one();
  };
  const int count =
      options_.threads > 0 ? std::min(options_.threads, 1024) : std::min(thread_count(0), 64);
  std::vector<std::jthread> threads;
  {
    std::unique_lock lock(mutex);
    for (; running < count; ++running) try {
        threads.emplace_back(work);
      } catch (const std::system_error&) {
        if (running == 0) throw;
        break;  // a limit on threads: fewer of them find the same
      }
    while (!idle.wait_for(lock, std::chrono::milliseconds(100), [&] { return running == 0; }))
      if (options_.progress) options_.progress(done, total_);
  }
  threads.clear();
  if (failure) std::rethrow_exception(failure);
  if (options_.progress) options_.progress(total_, total_);
}

void Checker::look_at(int64_t index) {
  Record& record = records_[index];
  record.part = static_cast<int8_t>(part_of(index));
  const Dataset& data = dataset(record.part);
  const int64_t own = index - starts_[record.part];
  if (const int label = data.label(own); label >= 0)
    record.class_id = class_ids_.at(data.classes().at(label));
  Sample sample;
  try {
    sample = data.get(own);
    look_at_sample(sample, index, &record);
  } catch (const Error& error) {
    const std::string format = content_format(sample.encoded);
    const bool odd = is_refused_format(format);
    found(odd ? FindingKind::kOddFormat : FindingKind::kBroken, index,
          odd ? fmt::format("{} cannot be read: convert it to JPEG or PNG", format)
              : without_name(error.what(), file(index)));
  }
}

Image Checker::decode(const Sample& sample, Record* record) {
  if (sample.encoded.empty()) return sample.image;
  const ImageInfo info = probe_image(sample.encoded, sample.name);
  record->format = static_cast<int8_t>(std::find(kFormats.begin(), kFormats.end(), info.format) -
                                       kFormats.begin());
  std::unique_lock<std::mutex> alone(large_, std::defer_lock);
  if (int64_t{info.height} * info.width > kLargePixels) alone.lock();
  return decode_image(sample.encoded, {}, sample.name);
}

void Checker::look_at_sample(const Sample& sample, int64_t index, Record* record) {
  bytes_ += static_cast<int64_t>(sample.encoded.size());
  const Image image = decode(sample, record);
  record->bytes = content_hash(sample.encoded);
  record->pixels =
      content_hash(std::as_bytes(std::span(image.pixels)), static_cast<uint32_t>(image.width));
  record->height = image.height;
  record->width = image.width;
  const std::string_view promised = sample.encoded.empty() ? "" : image_format(sample.name);
  if (!promised.empty() && promised != kFormats.at(record->format))
    found(FindingKind::kExtension, index,
          fmt::format("{} inside, read as such", kFormats.at(record->format)));
  const auto [low, high] = std::minmax(image.height, image.width);
  const std::string size = fmt::format("{} x {} pixels", image.width, image.height);
  if (low < options_.min_side) found(FindingKind::kTiny, index, size);
  if (high > options_.max_aspect * low) found(FindingKind::kAspect, index, size);
}

void Checker::find_doubles() {
  std::vector<int64_t> order;
  for (int64_t i = 0; i < total_; ++i)
    if (records_[i].height > 0) order.push_back(i);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return records_[a].pixels < records_[b].pixels; });
  for (size_t first = 0, end = 0; first < order.size(); first = end) {
    while (end < order.size() && records_[order[end]].pixels == records_[order[first]].pixels &&
           records_[order[end]].width == records_[order[first]].width)
      ++end;
    if (end - first > 1) find_doubles_in(std::span(order).subspan(first, end - first));
  }
}

// `group` ascends, so that every image is compared with an earlier one.
void Checker::find_doubles_in(std::span<const int64_t> group) {
  std::map<std::pair<int, int>, int64_t> seen;  // part, class -> its first
  const int64_t first = group.front();
  for (const int64_t index : group) {
    const Record &ours = records_[index], &theirs = records_[first];
    const auto same_as = [&](int64_t other) {
      return fmt::format("the same {} as {}",
                         ours.bytes == records_[other].bytes ? "file" : "pixels", file(other));
    };
    if (ours.part != theirs.part)
      found(FindingKind::kLeak, index,
            fmt::format("{} in {}", same_as(first), parts_.parts[theirs.part].first));
    if (ours.class_id != theirs.class_id)
      found(FindingKind::kTwoClasses, index,
            fmt::format("{} of class {}", same_as(first),
                        theirs.class_id < 0 ? "?" : class_names_[theirs.class_id]));
    const auto [entry, fresh] = seen.emplace(std::pair(ours.part, ours.class_id), index);
    if (!fresh) found(FindingKind::kDuplicate, index, same_as(entry->second));
  }
}

// Looks at the first part, which is for training; at both when they are shares of one folder.
void Checker::find_unbalanced() {
  std::vector<int64_t> counts(class_names_.size(), 0);
  for (const Record& record : records_)
    if (record.class_id >= 0 && (parts_.undivided || record.part == 0)) ++counts[record.class_id];
  std::vector<int64_t> sorted;
  for (const int64_t count : counts)
    if (count > 0) sorted.push_back(count);
  if (sorted.empty()) return;
  std::nth_element(sorted.begin(), sorted.begin() + std::ssize(sorted) / 2, sorted.end());
  const int64_t median = sorted[sorted.size() / 2];
  for (size_t k = 0; k < counts.size(); ++k) {
    const auto count = static_cast<double>(counts[k]), middle = static_cast<double>(median);
    if (counts[k] == 0 ||
        (count * options_.imbalance >= middle && count <= options_.imbalance * middle))
      continue;
    parts_.findings.push_back(
        {FindingKind::kUnbalanced, parts_.undivided ? "" : parts_.parts[0].first, class_names_[k],
         "", fmt::format("{} images; the median class has {}", counts[k], median)});
  }
}

CheckResult Checker::summary() {
  CheckResult result;
  result.kind = parts_.kind;
  result.undivided = parts_.undivided;
  result.not_read = std::move(parts_.not_read);
  for (const auto& [name, data] : parts_.parts) result.parts.push_back({name, data->size()});
  result.images = total_;
  result.bytes = bytes_;
  result.classes = static_cast<int>(class_names_.size());
  std::vector<int> sides;
  for (const Record& record : records_) {
    if (record.height == 0) continue;
    sides.push_back(std::min(record.height, record.width));
    ++result.formats[kFormats.at(record.format)];
  }
  result.decoded = std::ssize(sides);
  if (!sides.empty()) {
    std::sort(sides.begin(), sides.end());
    result.smallest_side = sides.front();
    result.median_side = sides[sides.size() / 2];
    result.largest_side = sides.back();
  }
  std::stable_sort(found_.begin(), found_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  result.findings = std::move(parts_.findings);
  for (auto& [_, finding] : found_) result.findings.push_back(std::move(finding));
  std::stable_sort(result.findings.begin(), result.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.kind < b.kind; });
  return result;
}

}  // namespace

const char* finding_name(FindingKind kind) { return kNames.at(static_cast<size_t>(kind))[0]; }
const char* finding_title(FindingKind kind) { return kNames.at(static_cast<size_t>(kind))[1]; }

bool stops_training(FindingKind kind) {
  return kind == FindingKind::kRefused || kind == FindingKind::kBroken ||
         kind == FindingKind::kOddFormat;
}

int64_t CheckResult::count(FindingKind wanted) const {
  return std::count_if(findings.begin(), findings.end(),
                       [&](const Finding& finding) { return finding.kind == wanted; });
}

bool CheckResult::stops_training() const {
  return std::any_of(findings.begin(), findings.end(),
                     [](const Finding& finding) { return nestvit::stops_training(finding.kind); });
}

CheckResult check_dataset(const CheckOptions& options) { return Checker(options).run(); }

}  // namespace nestvit
