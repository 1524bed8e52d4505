// Digests of lists: a sum over the images of a hash each, so that the sum of two parts is that of
// the whole, and the order does not matter.
#include "data/training_data.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "base/log.h"
#include "data/check/content_hash.h"

namespace nestvit {
namespace {

constexpr size_t kLooked = 128, kExamples = 16;  // images of a record
constexpr const char* kHash = "murmur3-";

struct Item {
  uint64_t hash;  // of key and class name
  int64_t index;
};

std::vector<Item> items_of(const Dataset& images, const std::vector<std::string>& class_names) {
  std::vector<Item> items;
  items.reserve(static_cast<size_t>(images.size()));
  for (int64_t i = 0; i < images.size(); ++i) {
    std::string text = images.key(i) + '\0';
    // A broken record of a shard has no label.
    if (const int label = images.label(i); label >= 0) text += class_names.at(label);
    items.push_back({content_hash(std::as_bytes(std::span(text))).low, i});
  }
  return items;
}

uint64_t sum_of(const std::vector<Item>& items) {
  uint64_t sum = 0;
  for (const Item& item : items) sum += item.hash;
  return sum;
}

std::string digest_text(uint64_t digest) { return fmt::format("{}{:016x}", kHash, digest); }

// Nothing for a text that is no digest.
std::optional<uint64_t> parse_digest(std::string_view text) {
  if (!text.starts_with(kHash)) return std::nullopt;
  text.remove_prefix(std::string_view(kHash).size());
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string name_text(const Item& item) {
  return fmt::format("{:08x}", static_cast<uint32_t>(item.hash));
}

// Nothing for an image that cannot be read.
std::optional<uint64_t> content_of(const Dataset& images, int64_t index) {
  try {
    const Sample sample = images.get(index);
    const auto bytes = sample.encoded.empty() ? std::as_bytes(std::span(sample.image.pixels))
                                              : std::span<const std::byte>(sample.encoded);
    return content_hash(bytes).low;
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string content_text(uint64_t content) {
  return fmt::format("{:08x}", static_cast<uint32_t>(content));
}

// Looks into those with the lowest hashes: a random choice that depends on no other image.
void look_into(const Dataset& images, std::vector<Item> items, TrainingRecord& record) {
  const size_t count = std::min(items.size(), kLooked);
  std::partial_sort(items.begin(), items.begin() + static_cast<ptrdiff_t>(count), items.end(),
                    [](const Item& a, const Item& b) { return a.hash < b.hash; });
  uint64_t sum = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto content = content_of(images, items[i].index);
    if (!content) continue;
    const std::array<uint64_t, 2> both = {items[i].hash, *content};
    sum += content_hash(std::as_bytes(std::span(both))).low;
    if (i < kExamples)
      record.examples += fmt::format("{}{}-{}", record.examples.empty() ? "" : " ",
                                     name_text(items[i]), content_text(*content));
  }
  record.content_digest = digest_text(sum);
}

// Name -> content.
std::map<std::string, std::string> parse_examples(std::string_view text) {
  std::map<std::string, std::string> examples;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    const size_t dash = std::min(word.find('-'), word.size());
    examples.emplace(word.substr(0, dash), word.substr(std::min(dash + 1, word.size())));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
  }
  return examples;
}

// Whether `digest` is of `images` images that the record lists.
bool is_all(const TrainingRecord& record, int64_t images, uint64_t digest) {
  const auto train = parse_digest(record.train_digest),
             held_out = parse_digest(record.held_out_digest);
  return train && held_out && *train + *held_out == digest && record.train_images >= 0 &&
         record.train_images <= images && images - record.train_images == record.held_out_images;
}

}  // namespace

TrainingRecord record_of(const Dataset& train, const Dataset& held_out,
                         const std::vector<std::string>& class_names,
                         const DatasetOptions& options) {
  TrainingRecord record;
  record.train_images = train.size();
  record.held_out_images = held_out.size();
  std::vector<Item> items = items_of(train, class_names);
  record.train_digest = digest_text(sum_of(items));
  look_into(train, std::move(items), record);
  record.held_out_digest = digest_text(sum_of(items_of(held_out, class_names)));
  if (held_out.is_share()) {
    record.val_share = options.val_share;
    record.seed = static_cast<int64_t>(options.seed);
  }
  return record;
}

Recognised recognise(const Dataset& images, const std::vector<std::string>& class_names,
                     const TrainingRecord& record) {
  const std::vector<Item> items = items_of(images, class_names);
  const auto examples = parse_examples(record.examples);
  Recognised found;
  found.all = is_all(record, images.size(), sum_of(items));
  for (const Item& item : items) {
    const auto example = examples.find(name_text(item));
    if (example == examples.end()) continue;
    ++found.listed;
    const auto content = content_of(images, item.index);
    found.same += content && content_text(*content) == example->second;
  }
  return found;
}

void require_same_data(const TrainingRecord& before, const TrainingRecord& now,
                       const std::string& origin) {
  if (before.train_digest != now.train_digest)
    throw Error(
        fmt::format("{} was trained on {} images, and the training set has {} now, some of "
                    "them with another name or class",
                    origin, human_count(before.train_images), human_count(now.train_images)),
        "resume with the data it was started with, or start a new run in another --workdir");
  if (before.held_out_digest != now.held_out_digest)
    log_warning(
        fmt::format("the images to evaluate on are others than at {}: results before and "
                    "after do not compare",
                    origin));
  if (before.content_digest != now.content_digest)
    log_warning(
        fmt::format("training images hold other pictures than at {}, under the same names: "
                    "the run goes on with them",
                    origin));
}

}  // namespace nestvit
