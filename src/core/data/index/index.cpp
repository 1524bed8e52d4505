// Index files: magic, key, blocks of length, bytes and CRC-32C, little endian.
#include "data/index/index.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <sys/stat.h>

#include <bit>
#include <ctime>

#include "base/crc32c.h"

namespace nestvit {
namespace {

static_assert(std::endian::native == std::endian::little);  // arrays are stored as in memory

constexpr std::string_view kMagic = "nestvit index 1\n";

}  // namespace

std::optional<Stamp> stamp_of(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return Stamp{status.st_ino, static_cast<uint64_t>(status.st_size),
               int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec};
}

int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

bool settled(const Stamp& stamp, int64_t read_at) {
  return stamp.changed + 2'000'000'000 < read_at;
}

IndexWriter::IndexWriter(const std::filesystem::path& path, std::string_view key) : file_(path) {
  file_.write(std::as_bytes(std::span(kMagic)));
  text(key);
}

void IndexWriter::block(std::span<const std::byte> bytes) {
  const uint64_t size = bytes.size();
  const uint32_t crc = crc32c(bytes);
  file_.write(std::as_bytes(std::span(&size, 1)));
  file_.write(bytes);
  file_.write(std::as_bytes(std::span(&crc, 1)));
}

void IndexWriter::texts(const std::vector<std::string>& texts) {
  std::string all;
  std::vector<uint64_t> ends;
  for (const std::string& text : texts) {
    all += text;
    ends.push_back(all.size());
  }
  text(all);
  array(std::span(ends));
}

std::optional<IndexReader> IndexReader::open(const std::filesystem::path& path,
                                             std::string_view key) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return std::nullopt;
  auto file = MappedFile::open(path);
  auto reader = parse(file->bytes(), path.string(), key);
  if (reader) reader->file_ = std::move(file);
  return reader;
}

std::optional<IndexReader> IndexReader::parse(std::span<const std::byte> bytes, std::string origin,
                                              std::string_view key) {
  IndexReader reader(bytes, std::move(origin));
  const auto magic = reader.reader_.take(kMagic.size());
  reader.require(std::memcmp(magic.data(), kMagic.data(), kMagic.size()) == 0, "another beginning");
  if (reader.text() != key) return std::nullopt;
  return reader;
}

std::span<const std::byte> IndexReader::block() {
  const auto bytes = reader_.take(reader_.little<uint64_t>());
  if (reader_.little<uint32_t>() != crc32c(bytes)) fail("a wrong checksum");
  return bytes;
}

std::string IndexReader::text() {
  const auto bytes = block();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::string> IndexReader::texts() {
  const std::string all = text();
  std::vector<std::string> texts;
  uint64_t begin = 0;
  for (const uint64_t end : array<uint64_t>()) {
    require(end >= begin && end <= all.size(), "ends of texts that go down");
    texts.push_back(all.substr(begin, end - begin));
    begin = end;
  }
  return texts;
}

void IndexReader::end() { require(reader_.remaining() == 0, "more than it should hold"); }

void IndexReader::fail(const char* what) const {
  throw Error(fmt::format("{} is damaged: it has {}", origin_, what), "remove it");
}

}  // namespace nestvit
