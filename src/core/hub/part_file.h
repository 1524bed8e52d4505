// A file that is being downloaded: NAME.incomplete beside its final name, locked against other
// processes, kept for a later run when this one is cut short.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace nestvit {

// An advisory lock (flock, as Python's filelock takes it) on a file that is created when missing.
// Waits for its holder. It does nothing on a file system without locks: writers of one file write
// the same bytes at the same place.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;
  int descriptor() const { return fd_; }

 private:
  int fd_ = -1;
};

class PartFile {
 public:
  // Opens and locks `file`.incomplete, with what an earlier run left in it.
  explicit PartFile(const std::filesystem::path& file);

  uint64_t size() const { return size_; }
  void append(std::string_view bytes);  // throws Error, for instance on a full disk
  void clear();

  // The server's mark of this version of the content, kept with the file; "" when there is none.
  std::string mark() const;
  void set_mark(const std::string& mark);

  const std::filesystem::path& path() const { return path_; }
  // Takes its final name (`file` unless another is given), which replaces what was there.
  void publish();
  void publish_as(const std::filesystem::path& file);
  void discard();

 private:
  std::filesystem::path file_, path_;
  FileLock lock_;
  uint64_t size_ = 0;
};

// Creates the folder and its parents. Throws Error.
void make_folder(const std::filesystem::path& folder);

}  // namespace nestvit
