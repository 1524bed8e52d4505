// Zip archives of stored (uncompressed) entries, zip64 included: a reader that trusts no offset and
// copies nothing, and a writer that aligns what it stores, so that others can map it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace nestvit {

struct ZipEntry {
  std::span<const std::byte> bytes;  // as they lie in the archive
  uint32_t crc = 0;                  // of the expanded bytes, as the archive states it; not checked
  bool compressed = false;
};

// Entries by name. Throws Error: not a zip, several disks, encrypted entries, offsets or sizes
// outside the file, entries that overlap or share a name, local headers that contradict the
// directory. Memory is proportional to the directory, which lies in the file.
std::map<std::string, ZipEntry> read_zip(std::span<const std::byte> bytes,
                                         const std::string& origin);

uint32_t zip_crc(std::span<const std::byte> bytes);

// Sizes and sums stand in the local headers, so readers need no directory to walk the entries.
class ZipWriter {
 public:
  explicit ZipWriter(std::function<void(std::span<const std::byte>)> sink)
      : sink_(std::move(sink)) {}
  // The bytes begin at a multiple of `alignment`; the padding is an extra field "FB", as PyTorch's.
  void add(const std::string& name, std::span<const std::byte> bytes, uint64_t alignment);
  void finish();

 private:
  struct Record {
    std::string name;
    uint64_t size, offset;
    uint32_t crc;
  };
  void emit(std::span<const std::byte> bytes);
  void emit(const std::string& text);

  std::function<void(std::span<const std::byte>)> sink_;
  std::vector<Record> records_;
  uint64_t at_ = 0;
};

}  // namespace nestvit
