// POSIX mapping, and atomic replacement through a temporary name in the same folder.
#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <nestvit/error.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/check.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* doing, const fs::path& path, int error) {
  throw Error(fmt::format("cannot {} {}: {}", doing, path.string(), std::strerror(error)),
              error == ENOENT ? "check the path" : write_error_hint(path, error));
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

int open_regular(const fs::path& path, struct stat* info) {
  // O_NONBLOCK: opening a named pipe must not hang.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail("open", path, errno);
  if (::fstat(fd, info) != 0 || !S_ISREG(info->st_mode)) {
    ::close(fd);
    throw Error(fmt::format("{} is not a file", path.string()), "give the path of a file");
  }
  return fd;
}

std::string unique_suffix() {
  static std::atomic<int> counter{0};
  return fmt::format(".tmp-{}-{}", ::getpid(), counter++);
}

// A name beside `path`, so that the rename stays on one file system.
fs::path beside(const fs::path& path) {
  const fs::path name = path.filename().empty() ? path.parent_path().filename() : path.filename();
  const fs::path parent =
      path.filename().empty() ? path.parent_path().parent_path() : path.parent_path();
  return parent / ("." + name.string() + unique_suffix());
}

// Exchanges the finished folder `fresh` with the one at `path` in one step, so that `path` is never
// missing. False when the file system cannot do that, or nothing is at `path`.
bool exchange(const fs::path& fresh, const fs::path& path) {
  return ::renameat2(AT_FDCWD, fresh.c_str(), AT_FDCWD, path.c_str(), RENAME_EXCHANGE) == 0;
}

void write_all(int fd, const std::byte* data, size_t size, const fs::path& path) {
  while (size > 0) {
    const ssize_t written = ::write(fd, data, std::min<size_t>(size, 1 << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", path, errno);
    data += written;
    size -= static_cast<size_t>(written);
  }
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const fs::path& path) {
  struct stat info {};
  const Descriptor file{open_regular(path, &info)};
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->size_ = static_cast<size_t>(info.st_size);
  if (mapped->size_ > 0) {
    void* address = ::mmap(nullptr, mapped->size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (address == MAP_FAILED) {
      mapped->size_ = 0;
      fail("map", path, errno);
    }
    mapped->data_ = static_cast<const std::byte*>(address);
  }
  return mapped;
}

void MappedFile::forget(std::span<const std::byte> part) const {
  // Whole pages inside the part only: its neighbours share the others.
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(part.data());
  const uintptr_t first = (address + page - 1) / page * page;
  const uintptr_t last = (address + part.size()) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

std::vector<std::byte> read_file(const fs::path& path, uint64_t max_bytes) {
  struct stat info {};
  const Descriptor file{open_regular(path, &info)};
  const auto size = static_cast<uint64_t>(info.st_size);
  if (size > max_bytes)
    throw Error(fmt::format("{} has {} bytes; at most {} are expected here", path.string(), size,
                            max_bytes));
  std::vector<std::byte> bytes(size);
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::read(file.fd, bytes.data() + done, bytes.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("read", path, errno);
    if (got == 0) throw Error(fmt::format("{} became shorter while it was read", path.string()));
    done += static_cast<size_t>(got);
  }
  return bytes;
}

std::string read_text(const fs::path& path, uint64_t max_bytes) {
  const auto bytes = read_file(path, max_bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)), temporary_(beside(path_)) {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("write", path_, errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  NESTVIT_CHECK(descriptor_ >= 0);
  write_all(descriptor_, bytes.data(), bytes.size(), path_);
}

void AtomicFile::commit() {
  NESTVIT_CHECK(descriptor_ >= 0);
  if (::fsync(descriptor_) != 0) fail("write", path_, errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("write", path_, errno);
  ::close(descriptor_);
  descriptor_ = -1;
}

void write_file(const fs::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file(const fs::path& path, std::string_view text) {
  write_file(path, std::as_bytes(std::span(text.data(), text.size())));
}

void write_directory(const fs::path& path, const std::function<void(const fs::path&)>& fill) {
  const fs::path temporary = beside(path);
  std::error_code ignored;
  try {
    std::error_code error;
    if (!fs::create_directories(temporary, error))
      fail("create", path, error ? error.value() : EEXIST);
    fill(temporary);
    sync_folder(temporary);
    if (!exchange(temporary, path)) {
      const fs::path old = beside(path);
      const bool replaces = ::rename(path.c_str(), old.c_str()) == 0;
      if (::rename(temporary.c_str(), path.c_str()) != 0) {
        const int reason = errno;
        if (replaces) ::rename(old.c_str(), path.c_str());
        fail("write", path, reason);
      }
      if (replaces) fs::remove_all(old, ignored);
    }
    sync_folder(fs::absolute(path).parent_path());
    fs::remove_all(temporary, ignored);
  } catch (...) {
    fs::remove_all(temporary, ignored);
    throw;
  }
}

void sync_folder(const fs::path& folder) {
  const Descriptor file{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (file.fd >= 0) ::fsync(file.fd);
}

std::string write_error_hint(const fs::path& path, int error) {
  if (error == EACCES || error == EPERM || error == EROFS) return "check the permissions";
  if (error == EFBIG) {
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    return fmt::format("files of this process may have {} bytes at most: raise ulimit -f",
                       limit.rlim_cur);
  }
  if (error != ENOSPC && error != EDQUOT) return "";
  std::error_code unknown;
  const fs::path folder = fs::absolute(path).parent_path();
  const fs::space_info space = fs::space(folder, unknown);
  if (unknown || error == EDQUOT) return "free some space; the old content is untouched";
  return fmt::format("{} holds {:.1f} MB more: free some space; the old content is untouched",
                     folder.string(), static_cast<double>(space.available) / 1e6);
}

FolderLock::FolderLock(const fs::path& folder)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0) fail("open", folder, errno);
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  throw Error(fmt::format("another process works in {}", folder.string()),
              "wait until it ends, or choose another folder");
}

FolderLock::~FolderLock() { ::close(descriptor_); }

std::span<const std::byte> BoundedReader::take(uint64_t count) {
  if (count > remaining())
    throw Error(fmt::format("{} ends too early: {} bytes are needed at position {}, {} are there",
                            what_, count, at_, remaining()),
                "the file is truncated or damaged");
  const auto taken = bytes_.subspan(at_, count);
  at_ += count;
  return taken;
}

}  // namespace nestvit
