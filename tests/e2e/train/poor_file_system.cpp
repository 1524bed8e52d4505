// To be preloaded into a program: a file system as FAT, network shares and drives of clouds are.
// Below a folder called "poor" there are no links, no locks and no exchange of two names, no file
// takes another's place, files cannot be mapped, and folders cannot be synced.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <string>

namespace {

bool is_poor(const std::string& path) { return path.find("/poor/") != std::string::npos; }

bool is_poor(int descriptor) {
  std::array<char, PATH_MAX> path{};
  const std::string name = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t size = readlink(name.c_str(), path.data(), path.size());
  return size > 0 && is_poor(std::string(path.data(), static_cast<size_t>(size)) + "/");
}

int refuse(int error) {
  errno = error;
  return -1;
}

}  // namespace

extern "C" {

int symlink(const char* target, const char* name) noexcept {
  return is_poor(name) ? refuse(EPERM) : symlinkat(target, AT_FDCWD, name);
}

int link(const char* from, const char* to) noexcept {
  return is_poor(to) ? refuse(EPERM) : linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to,
              unsigned flags) noexcept {
  if (is_poor(to) && flags != 0) return refuse(EINVAL);
  return static_cast<int>(syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

int rename(const char* from, const char* to) noexcept {
  if (is_poor(to) && access(to, F_OK) == 0) return refuse(EEXIST);
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int flock(int descriptor, int operation) noexcept {
  if (is_poor(descriptor)) return refuse(ENOLCK);
  return static_cast<int>(syscall(SYS_flock, descriptor, operation));
}

int fsync(int descriptor) {
  struct stat info {};
  if (fstat(descriptor, &info) == 0 && S_ISDIR(info.st_mode) && is_poor(descriptor))
    return refuse(EINVAL);
  return static_cast<int>(syscall(SYS_fsync, descriptor));
}

void* mmap(void* address, size_t size, int protection, int flags, int descriptor,
           off_t offset) noexcept {
  if (descriptor >= 0 && is_poor(descriptor)) {
    errno = ENODEV;
    return MAP_FAILED;
  }
  return reinterpret_cast<void*>(
      syscall(SYS_mmap, address, size, protection, flags, descriptor, offset));
}

}  // extern "C"
