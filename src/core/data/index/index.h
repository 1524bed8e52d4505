// Index files keep the result of opening a dataset, so that opening it again need not look at every
// file. An index holds a key (all settings that it depends on) and stamps of the files and folders
// that it was made of; an index that does not fit them is made anew, never trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/file.h"

namespace nestvit {

// The state in which a file or folder was read. A folder's state changes when a name in it comes,
// goes or is replaced.
struct Stamp {
  uint64_t inode = 0, size = 0;
  int64_t changed = 0;  // mtime, in nanoseconds
  bool operator==(const Stamp&) const = default;
};
// Follows links. Nothing when `path` does not exist.
std::optional<Stamp> stamp_of(const std::filesystem::path& path);
int64_t now_ns();  // on the clock of Stamp::changed
// Whether a stamp was old enough at `read_at` to stand for one state only: file systems keep times
// in steps of up to 2 seconds.
bool settled(const Stamp& stamp, int64_t read_at);

// Blocks of bytes with a checksum each, written beside the file and renamed over it.
class IndexWriter {
 public:
  IndexWriter(const std::filesystem::path& path, std::string_view key);
  void number(uint64_t value) { block(std::as_bytes(std::span(&value, 1))); }
  void text(std::string_view text) { block(std::as_bytes(std::span(text))); }
  template <class T>
  void array(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    block(std::as_bytes(values));
  }
  template <class T>
  void array(std::span<T> values) {
    array(std::span<const T>(values));
  }
  void texts(const std::vector<std::string>& texts);
  void commit() { file_.commit(); }

 private:
  void block(std::span<const std::byte> bytes);
  AtomicFile file_;
};

// Reads the blocks in the order in which they were written. Every read is bounded by the file, and
// throws Error when the file is damaged.
class IndexReader {
 public:
  // Nothing when there is no such file, or it was made for another key.
  static std::optional<IndexReader> open(const std::filesystem::path& path, std::string_view key);
  static std::optional<IndexReader> parse(std::span<const std::byte> bytes, std::string origin,
                                          std::string_view key);

  uint64_t number() { return single<uint64_t>(); }
  std::string text();
  template <class T>
  std::vector<T> array();
  std::vector<std::string> texts();
  void end();  // requires that nothing follows
  void require(bool holds, const char* otherwise) const {
    if (!holds) fail(otherwise);
  }

 private:
  IndexReader(std::span<const std::byte> bytes, std::string origin)
      : origin_(std::move(origin)), reader_(bytes, origin_) {}
  std::span<const std::byte> block();
  template <class T>
  T single();
  [[noreturn]] void fail(const char* what) const;

  std::shared_ptr<const MappedFile> file_;
  std::string origin_;
  BoundedReader reader_;
};

template <class T>
std::vector<T> IndexReader::array() {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto bytes = block();
  require(bytes.size() % sizeof(T) == 0, "a block of another length");
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

template <class T>
T IndexReader::single() {
  const auto values = array<T>();
  require(values.size() == 1, "a block of another length");
  return values[0];
}

}  // namespace nestvit
