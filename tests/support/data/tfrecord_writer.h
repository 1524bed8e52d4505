// Writes TFRecord files and TFDS trees. Shares no code with the reader: protobuf byte by byte.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "support/data/data_files.h"

namespace nestvit::testing {

inline std::string little_endian(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i & 255);
  return text;
}

inline std::string masked_crc(const std::string& text) {
  uint32_t crc = 0xffffffff;
  for (char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
  }
  crc = ~crc;
  return little_endian(((crc >> 15) | (crc << 17)) + 0xa282ead8u, 4);
}

inline std::string record(const std::string& payload) {
  const std::string length = little_endian(payload.size(), 8);
  return length + masked_crc(length) + payload + masked_crc(payload);
}

inline std::string varint(uint64_t value) {
  std::string text;
  for (; value >= 128; value >>= 7) text += static_cast<char>((value & 127) | 128);
  return text + static_cast<char>(value);
}

// A field of wire type 2: a string, bytes, a message or packed numbers.
inline std::string field(int tag, const std::string& content) {
  return varint(static_cast<uint64_t>(tag) << 3 | 2) + varint(content.size()) + content;
}

inline std::string bytes_list(const std::vector<std::string>& values) {
  std::string list;
  for (const auto& value : values) list += field(1, value);
  return field(1, list);
}
inline std::string float_list() { return field(2, field(1, std::string(4, '\0'))); }
inline std::string int_list(const std::vector<int64_t>& values, bool packed = true) {
  std::string list;
  for (int64_t value : values)
    list += (packed ? "" : varint(1 << 3)) + varint(static_cast<uint64_t>(value));
  return field(3, packed ? field(1, list) : list);
}
// One entry of the map of features.
inline std::string feature(const std::string& key, const std::string& value) {
  return field(1, field(1, key) + field(2, value));
}
// A tf.train.Example of features, put one after the other.
inline std::string example(const std::string& features) { return field(1, features); }

inline std::string file_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
// The bytes of a PNG of one colour.
inline std::string png_text(uint8_t value) {
  DataDir folder;
  return file_text(folder.png("x.png", value));
}

inline std::string shard_name(const std::string& dataset, const std::string& split, int index,
                              int count) {
  char text[64];
  std::snprintf(text, sizeof text, "-%s.tfrecord-%05d-of-%05d", split.c_str(), index, count);
  return dataset + text;
}

}  // namespace nestvit::testing
