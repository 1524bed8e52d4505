// Files: memory-mapped reading, whole reading with a size limit, and writing beside-then-rename.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nestvit {

// A read-only mapping of a whole file. Throws Error when `path` cannot be opened or is not a
// regular file.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Gives the memory of a part back to the system; a later access reads it from the file again. For
  // large files that are converted once: else file and result would fill memory together.
  void forget(std::span<const std::byte> part) const;

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The whole file. Throws Error when unreadable or larger than max_bytes.
std::vector<std::byte> read_file(const std::filesystem::path& path,
                                 uint64_t max_bytes = UINT64_MAX);
std::string read_text(const std::filesystem::path& path, uint64_t max_bytes = 64 << 20);

// Writes beside `path` and renames over it: readers see the old file or the whole new one. Throws
// Error (for instance on a full disk) and leaves nothing behind. Symbolic links are followed, and
// permissions stay. Devices, pipes and descriptors (place.h) are written through. So are, at the
// end, files in folders that allow neither a second file nor a rename.
void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file(const std::filesystem::path& path, std::string_view text);

// The same in pieces, for what is too large to hold twice or comes bit by bit.
class AtomicFile {
 public:
  // What becomes of the pieces without commit(). kKept: they stay in `path`.partial, where they can
  // be looked at as they come.
  enum class Unfinished { kRemoved, kKept };

  explicit AtomicFile(std::filesystem::path path, Unfinished unfinished = Unfinished::kRemoved);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();
  // Where the pieces are until then; empty: they are written through.
  const std::filesystem::path& unfinished() const { return temporary_; }

 private:
  void open_beside();
  void put_in_place();

  std::filesystem::path path_;  // as it was given
  std::filesystem::path target_, temporary_;
  int descriptor_ = -1;  // -1 once committed
  bool stream_ = false, kept_ = false;
  bool replaces_content_ = false;  // of the file itself, at the first piece
};

// The same for a folder: `fill` writes into a temporary folder beside `path`, which then replaces
// `path`. When it returns, the folder is on the disk and survives a power cut, provided that `fill`
// wrote with the functions above.
void write_directory(const std::filesystem::path& path,
                     const std::function<void(const std::filesystem::path&)>& fill);

// Wait until a file's content and the names in `folder` are on the disk, where the file system can
// say so. False: the disk failed, errno says how.
bool sync_file(int descriptor);
void sync_folder(const std::filesystem::path& folder);

// Throws the Error for errno `error` from writing `path`.
[[noreturn]] void fail_to_write(const std::filesystem::path& path, int error);

// A hint for errno `error` from writing `path`, such as how much space is left there; or "".
std::string write_error_hint(const std::filesystem::path& path, int error);

// Reserves a folder for one process, until the lock is destroyed or the process ends, however it
// ends. Throws Error when another process holds it. On file systems without locks it does nothing.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

// Reads little-endian numbers and byte ranges from a buffer; throws Error naming `what` when it
// runs out.
class BoundedReader {
 public:
  BoundedReader(std::span<const std::byte> bytes, std::string what)
      : bytes_(bytes), what_(std::move(what)) {}
  std::span<const std::byte> take(uint64_t count);
  template <class T>
  T little();  // unsigned integers, u8 to u64
  template <class T>
  T big();
  uint64_t remaining() const { return bytes_.size() - at_; }
  uint64_t position() const { return at_; }

 private:
  std::span<const std::byte> bytes_;
  std::string what_;
  uint64_t at_ = 0;
};

template <class T>
T BoundedReader::little() {
  T value = 0;
  int shift = 0;
  for (std::byte b : take(sizeof(T))) {
    value |= static_cast<T>(static_cast<T>(b) << shift);
    shift += 8;
  }
  return value;
}

template <class T>
T BoundedReader::big() {
  T value = 0;
  for (std::byte b : take(sizeof(T))) {
    if constexpr (sizeof(T) > 1) value = static_cast<T>(value << 8);
    value = static_cast<T>(value | static_cast<T>(b));
  }
  return value;
}

}  // namespace nestvit
