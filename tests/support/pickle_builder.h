// Pickles put together opcode by opcode, and the archives around them, as tests need them: valid
// ones and ones that lie.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weights/torch/zip.h"

namespace nestvit::testing {

inline std::string little(uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>((value >> (8 * i)) & 0xff);
  return text;
}

namespace pickle {

inline std::string program(const std::string& body) { return "\x80\x02" + body + "."; }
inline std::string text(std::string_view value) {
  return "X" + little(value.size(), 4) + std::string(value);
}
inline std::string integer(int64_t value) {
  return std::string("\x8a\x08") + little(static_cast<uint64_t>(value), 8);
}
inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string join(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all += part;
  return all;
}
inline std::string tuple(const std::vector<std::string>& items) { return "(" + join(items) + "t"; }
inline std::string counts(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}
inline std::string call(const std::string& callee, const std::vector<std::string>& arguments) {
  return callee + tuple(arguments) + "R";
}

using Pairs = std::vector<std::pair<std::string, std::string>>;  // a name, the value's program
inline std::string entries(const Pairs& pairs) {
  std::string all = "(";
  for (const auto& [name, value] : pairs) all += text(name) + value;
  return all + "u";
}
inline std::string dict(const Pairs& pairs) { return "}" + entries(pairs); }
inline std::string ordered_dict(const Pairs& pairs) {
  return call(global("collections", "OrderedDict"), {}) + entries(pairs);
}

inline std::string storage(const std::string& type, const std::string& key, int64_t count) {
  return tuple(
             {text("storage"), global("torch", type), text(key), text("cuda:0"), integer(count)}) +
         "Q";
}
inline std::string tensor(const std::string& storage, int64_t offset,
                          const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              {storage, integer(offset), counts(shape), counts(strides), "\x89",
               call(global("collections", "OrderedDict"), {})});
}
// The first `count` floats of the storage `key`.
inline std::string floats(const std::string& key, int64_t count) {
  return tensor(storage("FloatStorage", key, count), 0, {count}, {1});
}

}  // namespace pickle

inline std::vector<std::byte> zip_of(
    const std::vector<std::pair<std::string, std::string>>& entries, uint64_t alignment = 64) {
  std::vector<std::byte> file;
  ZipWriter zip([&](std::span<const std::byte> bytes) {
    file.insert(file.end(), bytes.begin(), bytes.end());
  });
  for (const auto& [name, bytes] : entries)
    zip.add(name, std::as_bytes(std::span(bytes)), alignment);
  zip.finish();
  return file;
}

}  // namespace nestvit::testing
