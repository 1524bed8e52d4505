// TFRecord files and the tf.train.Example messages in them (the layouts are TensorFlow's: lib/io/
// record_writer.h, core/example/{example,feature}.proto).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nestvit {

// Where a record begins: for messages only.
struct RecordPlace {
  const std::string& file;
  uint64_t offset;
};

// Record: u64 length, u32 masked CRC-32C of it, payload, u32 masked CRC-32C of the payload; little
// endian.
inline constexpr uint64_t kRecordFrame = 16;  // bytes of a record beside its payload

// The payload of the record that begins at place.offset. The next one begins at offset +
// kRecordFrame + size. Checks the length with its CRC, and that the record ends inside the file;
// not the payload's CRC. Throws Error naming file and offset.
std::span<const std::byte> record_at(std::span<const std::byte> file, const RecordPlace& place);

// Whether the payload's CRC is right. `payload` is what record_at() gave: the CRC follows it.
bool payload_intact(std::span<const std::byte> payload);
void check_payload(std::span<const std::byte> payload, const RecordPlace& place);  // throws Error

// A tf.train.Example: features by key. It views the record, which must outlive it; large values are
// skipped over, not touched. Throws Error: not a protobuf message, or more features than any
// dataset has.
class Example {
 public:
  Example(std::span<const std::byte> record, RecordPlace place);

  bool has(std::string_view key) const { return find(key) != nullptr; }
  std::vector<std::string> keys() const;
  // The values of a feature. Throws Error: no such feature, a list of another type, too many
  // values.
  std::vector<std::span<const std::byte>> bytes(std::string_view key) const;
  std::vector<int64_t> integers(std::string_view key) const;

 private:
  enum class Type { kNone, kBytes, kFloats, kIntegers };
  struct Feature {
    std::string_view key;
    Type type = Type::kNone;
    std::string_view list;  // the BytesList, FloatList or Int64List
  };
  void read_features(std::string_view message);
  Feature read_entry(std::string_view message) const;
  const Feature* find(std::string_view key) const;
  std::string_view list(std::string_view key, Type type, const char* expected) const;
  [[noreturn]] void fail(const std::string& what) const;

  RecordPlace place_;
  std::vector<Feature> features_;
};

}  // namespace nestvit
