// libarchive reads; names are checked and files written here, so that nothing but plain files and
// folders comes out.
#include "hub/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <nestvit/error.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "base/file.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPiece = 1 << 16;
constexpr size_t kDeepest = 32;  // folders in a name

using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;

[[noreturn]] void refuse(const fs::path& path, const std::string& why) {
  throw Error(fmt::format("{} is not unpacked: {}", path.string(), why),
              "it is not what it should be; fetch it again from a source that you trust");
}

[[noreturn]] void broken(const fs::path& path, archive* reader) {
  const char* text = archive_error_string(reader);
  refuse(path, fmt::format("it is damaged ({})", text ? text : "unknown reason"));
}

enum class Form { kTar, kSingle };

Reader open_archive(const fs::path& path, Form form) {
  Reader reader(archive_read_new(), &archive_read_free);
  if (!reader) throw std::bad_alloc();
  archive_read_support_filter_gzip(reader.get());
  if (form == Form::kTar) {
    archive_read_support_format_tar(reader.get());
  } else {
    archive_read_support_format_raw(reader.get());
  }
  if (archive_read_open_filename(reader.get(), path.c_str(), kPiece) != ARCHIVE_OK)
    broken(path, reader.get());
  // The raw format takes anything; without a gzip around it, it would copy.
  if (form == Form::kSingle && archive_filter_count(reader.get()) < 2)
    refuse(path, "it is not gzip");
  return reader;
}

archive_entry* next_entry(const fs::path& path, archive* reader) {
  archive_entry* entry = nullptr;
  const int status = archive_read_next_header(reader, &entry);
  if (status == ARCHIVE_EOF) return nullptr;
  // A warning is for instance a name that the locale cannot spell: the name itself is checked
  // later.
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) broken(path, reader);
  return entry;
}

// The content of the entry at hand into a new file, at most `limit` bytes. Returns how many.
uint64_t write_content(const fs::path& path, archive* reader, const fs::path& file,
                       uint64_t limit) {
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd < 0 && errno == EEXIST)
    refuse(path, fmt::format("it holds {} twice", file.filename().string()));
  const auto failed = [&] {
    return Error(fmt::format("cannot write {}: {}", file.string(), std::strerror(errno)),
                 errno == ENOSPC ? "free some space" : "");
  };
  if (fd < 0) throw failed();
  const auto close = [](const int* open) { ::close(*open); };
  const std::unique_ptr<const int, decltype(close)> closer(&fd, close);
  std::string piece(kPiece, '\0');
  uint64_t total = 0;
  while (true) {
    const auto got = archive_read_data(reader, piece.data(), piece.size());
    if (got == 0) return total;
    if (got < 0) broken(path, reader);
    total += static_cast<uint64_t>(got);
    if (total > limit)
      refuse(path, fmt::format("it unpacks to more than is expected ({} bytes too many so far)",
                               total - limit));
    for (la_ssize_t done = 0; done < got;) {
      const ssize_t written = ::write(fd, piece.data() + done, static_cast<size_t>(got - done));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw failed();
      done += written;
    }
  }
}

// The folders and the file of an entry's name, "." left out.
std::vector<std::string> checked_name(const fs::path& path, archive_entry* entry) {
  const char* raw = archive_entry_pathname(entry);
  if (!raw) refuse(path, "it holds a name that cannot be read");
  const std::string name = raw;
  std::vector<std::string> parts;
  for (size_t at = 0; at <= name.size();) {
    const size_t slash = std::min(name.find('/', at), name.size());
    const std::string part = name.substr(at, slash - at);
    at = slash + 1;
    const bool control = part.find_first_of(std::string("\0\n\r\x1b\\", 5)) != std::string::npos;
    if (name.starts_with('/') || part == ".." || control)
      refuse(path, fmt::format("it holds the unsafe name {:?}", name.substr(0, 200)));
    if (!part.empty() && part != ".") parts.push_back(part);
  }
  if (parts.size() > kDeepest) refuse(path, "it holds folders in folders without end");
  return parts;
}

class Unpacker {
 public:
  Unpacker(const fs::path& path, const fs::path& folder, const ArchiveLimits& limits)
      : path_(path), folder_(folder), left_(limits) {}

  void take(archive* reader, archive_entry* entry) {
    if (left_.entries-- == 0) refuse(path_, "it holds more files than are expected");
    std::vector<std::string> parts = checked_name(path_, entry);
    const auto type = archive_entry_filetype(entry);
    if ((type != AE_IFREG && type != AE_IFDIR) || archive_entry_hardlink(entry))
      refuse(path_,
             fmt::format("it holds a link or a device ({:?})", archive_entry_pathname(entry)));
    if (parts.empty()) return;  // "./"
    if (top_.empty()) top_ = parts.front();
    if (parts.front() != top_ || (parts.size() == 1 && type == AE_IFREG))
      refuse(path_, fmt::format("{:?} lies beside its folder {:?}", parts.front(), top_));
    fs::path target = folder_;
    for (size_t i = 1; i < parts.size(); ++i) target /= parts[i];
    const fs::path place = type == AE_IFDIR ? target : target.parent_path();
    std::error_code error;
    fs::create_directories(place, error);
    if (error) refuse(path_, fmt::format("cannot create {}: {}", place.string(), error.message()));
    if (type == AE_IFREG) {
      left_.bytes -= write_content(path_, reader, target, left_.bytes);
    }
  }

 private:
  const fs::path& path_;
  const fs::path& folder_;
  ArchiveLimits left_;
  std::string top_;
};

}  // namespace

void unpack_tar_gz(const fs::path& archive, const fs::path& folder, const ArchiveLimits& limits) {
  const Reader reader = open_archive(archive, Form::kTar);
  write_directory(folder, [&](const fs::path& temporary) {
    Unpacker unpacker(archive, temporary, limits);
    while (archive_entry* entry = next_entry(archive, reader.get()))
      unpacker.take(reader.get(), entry);
  });
}

void unpack_gz(const fs::path& archive, const fs::path& file, uint64_t bytes) {
  const Reader reader = open_archive(archive, Form::kSingle);
  if (!next_entry(archive, reader.get())) refuse(archive, "it is empty");
  std::error_code ignored;
  try {
    const uint64_t got = write_content(archive, reader.get(), file, bytes);
    if (got != bytes)
      refuse(archive, fmt::format("it unpacks to {} bytes, {} are expected", got, bytes));
  } catch (...) {
    fs::remove(file, ignored);
    throw;
  }
}

}  // namespace nestvit
