// TFRecord framing, and tf.train.Example by protozero.
#include "data/shards/tfrecord.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>
#include <protozero/pbf_reader.hpp>

#include "base/crc32c.h"
#include "base/file.h"

namespace nestvit {
namespace {

constexpr uint64_t kHeader = 12;          // length and its CRC
constexpr size_t kMaxFeatures = 4096;     // per record; image datasets have fewer than ten
constexpr size_t kMaxValues = 1'000'000;  // per feature; bounds what a hostile record costs

constexpr const char* kCopyAgain = "an incomplete or damaged copy? Copy the file again";

std::string at(const RecordPlace& place) {
  return fmt::format("{}: the record at byte {}", place.file, place.offset);
}

std::string_view view(const protozero::data_view& data) { return {data.data(), data.size()}; }

using Wire = protozero::pbf_wire_type;

constexpr uint32_t field(protozero::pbf_tag_type tag, Wire wire) {
  return protozero::tag_and_type(tag, wire);
}

}  // namespace

std::span<const std::byte> record_at(std::span<const std::byte> file, const RecordPlace& place) {
  const uint64_t left = place.offset <= file.size() ? file.size() - place.offset : 0;
  if (left < kRecordFrame)
    throw Error(fmt::format("{} is cut off: {} bytes are left, a record has at least {}", at(place),
                            left, kRecordFrame),
                kCopyAgain);
  BoundedReader header(file.subspan(place.offset, kHeader), place.file);
  const auto length = header.little<uint64_t>();
  if (header.little<uint32_t>() != masked_crc32c(file.subspan(place.offset, sizeof(length))))
    throw Error(fmt::format("{} has a wrong CRC of its length", at(place)),
                place.offset == 0 ? "is it an uncompressed TFRecord file?" : kCopyAgain);
  if (length > left - kRecordFrame)
    throw Error(fmt::format("{} is cut off: it says {} bytes, {} are left", at(place), length,
                            left - kRecordFrame),
                kCopyAgain);
  return file.subspan(place.offset + kHeader, length);
}

bool payload_intact(std::span<const std::byte> payload) {
  BoundedReader footer({payload.data() + payload.size(), sizeof(uint32_t)}, "CRC");
  return footer.little<uint32_t>() == masked_crc32c(payload);
}

void check_payload(std::span<const std::byte> payload, const RecordPlace& place) {
  if (!payload_intact(payload))
    throw Error(fmt::format("{} is damaged: wrong CRC of its {} bytes", at(place), payload.size()),
                kCopyAgain);
}

void Example::fail(const std::string& what) const {
  throw Error(fmt::format("{} {}", at(place_), what), "is it a tf.train.Example of images?");
}

Example::Example(std::span<const std::byte> record, RecordPlace place) : place_(place) {
  const std::string_view message(reinterpret_cast<const char*>(record.data()), record.size());
  try {
    // Example { Features features = 1; }, Features { map<string, Feature> feature = 1; }
    protozero::pbf_reader reader{message.data(), message.size()};
    while (reader.next(1, Wire::length_delimited)) read_features(view(reader.get_view()));
  } catch (const protozero::exception& error) {
    fail(fmt::format("is not a tf.train.Example: {}", error.what()));
  }
}

void Example::read_features(std::string_view message) {
  protozero::pbf_reader reader{message.data(), message.size()};
  while (reader.next(1, Wire::length_delimited)) {
    if (features_.size() == kMaxFeatures)
      fail(fmt::format("has more than {} features", kMaxFeatures));
    features_.push_back(read_entry(view(reader.get_view())));
  }
}

// A map entry { string key = 1; Feature value = 2; }, Feature { oneof: BytesList bytes_list = 1;
// FloatList float_list = 2; Int64List int64_list = 3; }. Unknown fields are skipped; the last of
// repeated fields counts.
Example::Feature Example::read_entry(std::string_view message) const {
  Feature feature;
  protozero::pbf_reader entry{message.data(), message.size()};
  while (entry.next()) {
    if (entry.tag_and_type() == field(1, Wire::length_delimited)) {
      feature.key = view(entry.get_view());
    } else if (entry.tag_and_type() == field(2, Wire::length_delimited)) {
      auto value = entry.get_message();
      while (value.next()) {
        const auto tag = value.tag();
        if (value.wire_type() == Wire::length_delimited && tag >= 1 && tag <= 3) {
          feature.type = static_cast<Type>(tag);
          feature.list = view(value.get_view());
        } else {
          value.skip();
        }
      }
    } else {
      entry.skip();
    }
  }
  return feature;
}

const Example::Feature* Example::find(std::string_view key) const {
  const auto found = std::find_if(features_.rbegin(), features_.rend(),
                                  [&](const Feature& feature) { return feature.key == key; });
  return found == features_.rend() ? nullptr : &*found;
}

std::vector<std::string> Example::keys() const {
  std::vector<std::string> keys;
  for (const Feature& feature : features_) keys.emplace_back(feature.key);
  std::sort(keys.begin(), keys.end());
  return keys;
}

std::string_view Example::list(std::string_view key, Type type, const char* expected) const {
  const Feature* feature = find(key);
  if (!feature) {
    auto known = keys();
    known.resize(std::min<size_t>(known.size(), 20));
    for (auto& name : known) name.resize(std::min<size_t>(name.size(), 60));
    fail(fmt::format("has no feature '{}'; it has: {}", key, fmt::join(known, ", ")));
  }
  if (feature->type != type)
    fail(fmt::format("has a feature '{}' of another type, expected {}", key, expected));
  return feature->list;
}

std::vector<std::span<const std::byte>> Example::bytes(std::string_view key) const {
  const auto message = list(key, Type::kBytes, "bytes");
  std::vector<std::span<const std::byte>> values;
  try {
    protozero::pbf_reader reader{message.data(), message.size()};
    while (reader.next(1, Wire::length_delimited)) {
      if (values.size() == kMaxValues) fail(fmt::format("has too many values of '{}'", key));
      const auto value = reader.get_view();
      values.push_back(std::as_bytes(std::span(value.data(), value.size())));
    }
  } catch (const protozero::exception& error) {
    fail(fmt::format("has a broken feature '{}': {}", key, error.what()));
  }
  return values;
}

std::vector<int64_t> Example::integers(std::string_view key) const {
  const auto message = list(key, Type::kIntegers, "int64");
  std::vector<int64_t> values;
  const auto add = [&](int64_t value) {
    if (values.size() == kMaxValues) fail(fmt::format("has too many values of '{}'", key));
    values.push_back(value);
  };
  try {
    // Writers may pack or not, and even mix both.
    protozero::pbf_reader reader{message.data(), message.size()};
    while (reader.next()) {
      if (reader.tag_and_type() == field(1, Wire::varint)) {
        add(reader.get_int64());
      } else if (reader.tag_and_type() == field(1, Wire::length_delimited)) {
        for (const int64_t value : reader.get_packed_int64()) add(value);
      } else {
        reader.skip();
      }
    }
  } catch (const protozero::exception& error) {
    fail(fmt::format("has a broken feature '{}': {}", key, error.what()));
  }
  return values;
}

}  // namespace nestvit
