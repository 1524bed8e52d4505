// Reads TensorBoard's event files back, with its own parser.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/crc32c.h"
#include "base/file.h"

namespace nestvit {

// The fields of a protobuf message by number: integers as they are, the rest as bytes.
struct Parsed {
  std::map<int, uint64_t> numbers;
  std::map<int, std::string> texts;
};

inline uint64_t take_varint(std::string_view* text) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    if (text->empty() || shift > 63) throw std::runtime_error("varint");
    const auto byte = static_cast<unsigned char>(text->front());
    text->remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
}

inline uint64_t take_little(std::string_view* text, size_t size) {
  if (text->size() < size) throw std::runtime_error("short");
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i)
    value |= static_cast<uint64_t>(static_cast<unsigned char>((*text)[i])) << (8 * i);
  text->remove_prefix(size);
  return value;
}

inline Parsed parse(std::string_view text) {
  Parsed parsed;
  while (!text.empty()) {
    const uint64_t key = take_varint(&text);
    const int field = static_cast<int>(key >> 3), wire = static_cast<int>(key & 7);
    if (wire == 0) {
      parsed.numbers[field] = take_varint(&text);
    } else if (wire == 1 || wire == 5) {
      parsed.numbers[field] = take_little(&text, wire == 1 ? 8 : 4);
    } else {
      const uint64_t size = take_varint(&text);
      if (wire != 2 || size > text.size()) throw std::runtime_error("length");
      parsed.texts[field] = text.substr(0, size);
      text.remove_prefix(size);
    }
  }
  return parsed;
}

inline uint32_t masked(std::string_view text) {
  return masked_crc32c(std::as_bytes(std::span(text.data(), text.size())));
}

// The payloads, every CRC checked; what is cut off at the end is left out.
inline std::vector<std::string> records(const std::string& file) {
  std::vector<std::string> payloads;
  std::string_view rest = file;
  while (rest.size() >= 16) {
    const std::string_view head = rest.substr(0, 8);
    const uint64_t size = take_little(&rest, 8);
    EXPECT_EQ(take_little(&rest, 4), masked(head));
    if (rest.size() < size + 4) break;
    payloads.emplace_back(rest.substr(0, size));
    rest.remove_prefix(size);
    EXPECT_EQ(take_little(&rest, 4), masked(payloads.back()));
  }
  return payloads;
}

struct Scalar {
  std::string tag;
  float value;
  int64_t step;
  double time;
  bool operator==(const Scalar&) const = default;
};

inline double as_double(uint64_t bits) { return std::bit_cast<double>(bits); }

inline std::vector<Scalar> scalars(const std::string& file) {
  std::vector<Scalar> found;
  for (const std::string& payload : records(file)) {
    Parsed event = parse(payload);
    if (!event.texts.contains(5)) continue;
    Parsed value = parse(parse(event.texts[5]).texts[1]);
    if (!value.numbers.contains(2)) continue;
    found.push_back({value.texts[1], std::bit_cast<float>(static_cast<uint32_t>(value.numbers[2])),
                     static_cast<int64_t>(event.numbers[2]), as_double(event.numbers[1])});
  }
  return found;
}

// The scalars that TensorBoard shows of a folder: files in the order of their names; the start of a
// session drops earlier scalars from its step on.
inline std::vector<Scalar> shown_scalars(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().starts_with("events.out.tfevents."))
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<Scalar> shown;
  for (const auto& file : files) {
    const std::string text = read_text(file);
    for (const std::string& payload : records(text)) {
      const Parsed event = parse(payload);
      if (!event.texts.contains(7)) continue;
      const auto step = event.numbers.contains(2) ? static_cast<int64_t>(event.numbers.at(2)) : 0;
      std::erase_if(shown, [&](const Scalar& scalar) { return scalar.step >= step; });
    }
    for (Scalar& scalar : scalars(text)) shown.push_back(std::move(scalar));
  }
  return shown;
}

}  // namespace nestvit
