// TFRecord framing and tf.train.Example: what is written is read, and nothing else.
#include "data/shards/tfrecord.h"

#include "support/data/tfrecord_writer.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;

std::span<const std::byte> span_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
const std::string kFile = "x.tfrecord";

// Every record of a file, checked.
std::vector<std::string> records_of(const std::string& file) {
  std::vector<std::string> records;
  for (uint64_t at = 0; at < file.size();) {
    const RecordPlace place{kFile, at};
    const auto payload = record_at(span_of(file), place);
    check_payload(payload, place);
    records.push_back(text_of(payload));
    at += kRecordFrame + payload.size();
  }
  return records;
}

Example parse(const std::string& text) { return Example(span_of(text), {kFile, 77}); }

TEST(TfRecord, Frames) {
  EXPECT_THAT(records_of(record("first") + record("") + record(std::string(70000, 'x'))),
              ElementsAre("first", "", std::string(70000, 'x')));
}

TEST(TfRecord, HeaderAsTensorFlowWritesIt) {
  // How every event file of TensorBoard starts: a record of 24 bytes.
  const std::string file = std::string("\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22", 12) +
                           std::string(24, 'x') + masked_crc(std::string(24, 'x'));
  EXPECT_THAT(records_of(file), ElementsAre(std::string(24, 'x')));
}

TEST(TfRecordHostile, TruncatedAtEveryLength) {
  const std::string first = record("first"), file = first + record("second");
  for (size_t length = 0; length < file.size(); ++length) {
    if (length == 0 || length == first.size()) continue;
    const std::string where = std::to_string(length < first.size() ? 0 : first.size());
    expect_error([&] { records_of(file.substr(0, length)); },
                 {"x.tfrecord", "byte " + where, "cut off"});
  }
}

TEST(TfRecordHostile, EveryByteCounts) {
  const std::string first = record("first"), file = first + record("second");
  for (size_t i = 0; i < file.size(); ++i) {
    std::string damaged = file;
    damaged[i] = static_cast<char>(damaged[i] ^ 4);
    const std::string where = std::to_string(i < first.size() ? 0 : first.size());
    expect_error([&] { records_of(damaged); }, {"x.tfrecord", "byte " + where, "CRC"});
  }
}

TEST(TfRecordHostile, HugeLengths) {
  for (const uint64_t length : {uint64_t{6}, uint64_t{1} << 40, UINT64_MAX, UINT64_MAX - 15}) {
    const std::string header = little_endian(length, 8);
    const std::string file = header + masked_crc(header) + "12345" + masked_crc("12345");
    expect_error([&] { records_of(file); }, {"byte 0", std::to_string(length), "5 are left"});
  }
}

TEST(Example, FeaturesByKey) {
  const std::string text =
      example(feature("image", bytes_list({"JPEG"})) + feature("label", int_list({7})) +
              feature("names", bytes_list({"a", "", "c"})) +
              feature("packed", int_list({0, -1, INT64_MAX, INT64_MIN, 300})) +
              feature("plain", int_list({0, -1, 300}, false)) + feature("weight", float_list()) +
              feature("nothing", ""));
  const Example parsed = parse(text);
  EXPECT_EQ(text_of(parsed.bytes("image").at(0)), "JPEG");
  EXPECT_THAT(parsed.integers("label"), ElementsAre(7));
  ASSERT_EQ(parsed.bytes("names").size(), 3u);
  EXPECT_EQ(text_of(parsed.bytes("names")[2]), "c");
  EXPECT_THAT(parsed.integers("packed"), ElementsAre(0, -1, INT64_MAX, INT64_MIN, 300));
  EXPECT_THAT(parsed.integers("plain"), ElementsAre(0, -1, 300));
  EXPECT_THAT(parsed.keys(),
              ElementsAre("image", "label", "names", "nothing", "packed", "plain", "weight"));
  EXPECT_TRUE(parsed.has("weight"));
  EXPECT_FALSE(parsed.has("id"));
  expect_error([&] { parsed.bytes("id"); }, {"x.tfrecord", "byte 77", "no feature 'id'", "image"});
  for (const char* key : {"weight", "nothing", "image"})
    expect_error([&] { parsed.integers(key); }, {key, "expected int64"});
  expect_error([&] { parsed.bytes("label"); }, {"'label'", "expected bytes"});
}

TEST(Example, AsProtobufAllowsIt) {
  // The value before the key, unknown fields of every wire type, a key twice (the last counts),
  // features in two parts, packed and plain numbers in one list.
  const std::string unknown = varint(9 << 3) + varint(5) + varint(10 << 3 | 1) +
                              std::string(8, 'x') + field(11, "text") + varint(12 << 3 | 5) +
                              std::string(4, 'x');
  const std::string entry =
      field(1, unknown + field(2, unknown + int_list({3})) + unknown + field(1, "label"));
  const std::string mixed = field(
      1, field(1, "mixed") + field(2, field(3, varint(1 << 3) + varint(1) + field(1, varint(2)))));
  const std::string text = unknown + field(1, unknown + feature("label", int_list({1}))) +
                           field(1, entry + mixed) + unknown;
  EXPECT_THAT(parse(text).integers("label"), ElementsAre(3));
  EXPECT_THAT(parse(text).integers("mixed"), ElementsAre(1, 2));
  EXPECT_TRUE(parse("").keys().empty());
}

TEST(ExampleHostile, TruncatedAtEveryLength) {
  const std::string text =
      example(feature("label", int_list({70000})) + feature("image", bytes_list({"JPEG"})));
  for (size_t length = 1; length < text.size(); ++length)
    expect_error([&] { parse(text.substr(0, length)); }, {"byte 77", "tf.train.Example"});
  // Lengths inside that are too large, or too small: an error or a value, never a crash.
  for (size_t i = 0; i < text.size(); ++i)
    for (int value = 0; value < 256; ++value) {
      std::string damaged = text;
      damaged[i] = static_cast<char>(value);
      try {
        const Example parsed = parse(damaged);
        for (const auto& bytes : parsed.bytes("image")) EXPECT_LE(bytes.size(), damaged.size());
        EXPECT_LE(parsed.integers("label").size(), damaged.size());
      } catch (const Error&) {
      }
    }
}

TEST(ExampleHostile, IsBounded) {
  std::string many;
  for (int i = 0; i < 5000; ++i) many += feature("k" + std::to_string(i), int_list({1}));
  expect_error([&] { parse(example(many)); }, {"more than 4096 features"});
  const std::string zeros = field(3, field(1, std::string(2'000'000, '\0')));
  const std::string text = example(feature("label", zeros));
  expect_error([&] { parse(text).integers("label"); }, {"too many values of 'label'"});
  // Nesting is never followed deeper than the format goes; groups are no part of it.
  std::string nested = "x";
  for (int i = 0; i < 10000; ++i) nested = field(2, nested.substr(0, 60000));
  expect_error([&] { parse(example(field(1, field(1, "label") + nested))).integers("label"); }, {});
  expect_error([&] { parse(std::string(100, '\x0b')); }, {"tf.train.Example"});
}

}  // namespace
}  // namespace nestvit
