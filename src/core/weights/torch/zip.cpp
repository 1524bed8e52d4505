// Zip archives by PKWARE's APPNOTE 6.3: end record, directory, local headers.
#include "weights/torch/zip.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <zlib.h>

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "base/file.h"

namespace nestvit {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator64 = 0x07064b50;
constexpr uint64_t kEndSize = 22, kLocatorSize = 20, kEnd64Size = 56, kLocalSize = 30;
constexpr uint16_t kExtra64 = 0x0001, kExtraPadding = 0x4246;  // "FB", as PyTorch's writer
constexpr uint32_t kIn64 = 0xffffffff;  // the number stands in the zip64 extra field
constexpr uint16_t kEncrypted = 1 << 0, kDescriptor = 1 << 3, kUtf8 = 1 << 11;
constexpr const char* kDamaged = "the file is truncated or damaged; fetch or write it again";

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> bytes, const std::string& origin)
      : bytes_(bytes), origin_(origin) {}
  std::map<std::string, ZipEntry> read();

 private:
  struct Directory {
    uint64_t offset, size, count;
  };
  struct Record {
    std::string name;
    uint64_t size, packed, offset;
    uint32_t crc;
    uint16_t flags, method;
    uint64_t end = 0;  // behind the stored bytes
  };

  [[noreturn]] void fail(const std::string& what, const char* hint = kDamaged) const {
    throw Error(fmt::format("{}: {}", origin_, what), hint);
  }
  BoundedReader reader_at(uint64_t offset, uint64_t size, const char* what) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset)
      fail(fmt::format("its {} would lie at bytes {} to {}+{}, the file has {}", what, offset,
                       offset, size, bytes_.size()));
    return {bytes_.subspan(offset, size), origin_ + ": its " + what};
  }
  uint64_t find_end() const;
  Directory find_directory() const;
  std::optional<Directory> find_directory64(uint64_t end) const;
  Record read_record(BoundedReader& directory) const;
  void read_extra64(BoundedReader extra, std::initializer_list<uint64_t*> numbers) const;
  std::span<const std::byte> locate(Record& record) const;

  std::span<const std::byte> bytes_;
  const std::string& origin_;
};

// A comment may follow the end record, so it is looked for from the back; its length must fit.
uint64_t ZipReader::find_end() const {
  const uint64_t size = bytes_.size();
  for (uint64_t comment = 0; comment <= 0xffff && comment + kEndSize <= size; ++comment) {
    const uint64_t at = size - kEndSize - comment;
    if (bytes_[at] != std::byte{'P'}) continue;
    BoundedReader reader(bytes_.subspan(at, kEndSize), origin_);
    if (reader.little<uint32_t>() != kEnd) continue;
    reader.take(16);
    if (reader.little<uint16_t>() == comment) return at;
  }
  fail("it has no directory at its end, so it is not a whole zip archive");
}

std::optional<ZipReader::Directory> ZipReader::find_directory64(uint64_t end) const {
  if (end < kLocatorSize) return std::nullopt;
  BoundedReader locator = reader_at(end - kLocatorSize, kLocatorSize, "zip64 locator");
  if (locator.little<uint32_t>() != kLocator64) return std::nullopt;
  const auto disk = locator.little<uint32_t>();
  const auto offset = locator.little<uint64_t>();
  if (disk != 0 || locator.little<uint32_t>() > 1) fail("it is spread over several disks");
  BoundedReader reader = reader_at(offset, kEnd64Size, "zip64 end record");
  if (reader.little<uint32_t>() != kEnd64) fail("its zip64 end record is not where it should be");
  reader.take(8 + 2 + 2);  // size of the record, versions
  if (reader.little<uint64_t>() != 0) fail("it is spread over several disks");
  Directory found{};
  const auto here = reader.little<uint64_t>();
  found.count = reader.little<uint64_t>();
  found.size = reader.little<uint64_t>();
  found.offset = reader.little<uint64_t>();
  if (here != found.count) fail("it is spread over several disks");
  if (found.offset > offset || found.size > offset - found.offset)
    fail("its directory reaches into the zip64 end record");
  return found;
}

ZipReader::Directory ZipReader::find_directory() const {
  const uint64_t end = find_end();
  BoundedReader reader = reader_at(end, kEndSize, "end record");
  reader.take(4);
  const auto disks = reader.little<uint32_t>();
  const auto here = reader.little<uint16_t>();
  Directory found{};
  found.count = reader.little<uint16_t>();
  found.size = reader.little<uint32_t>();
  found.offset = reader.little<uint32_t>();
  if (const auto wide = find_directory64(end)) return *wide;
  if (disks != 0 || here != found.count) fail("it is spread over several disks");
  if (found.offset > end || found.size > end - found.offset)
    fail(fmt::format("its directory would lie at bytes {} to {}+{}, the file has {}", found.offset,
                     found.offset, found.size, bytes_.size()));
  return found;
}

// The extra field 0x0001 holds, in this order, those numbers whose 32 bits did not suffice.
void ZipReader::read_extra64(BoundedReader extra, std::initializer_list<uint64_t*> numbers) const {
  while (extra.remaining() >= 4) {
    const auto kind = extra.little<uint16_t>();
    const auto size = extra.little<uint16_t>();
    BoundedReader field(extra.take(size), origin_ + ": an extra field");
    if (kind != kExtra64) continue;
    for (uint64_t* number : numbers)
      if (*number == kIn64) *number = field.little<uint64_t>();
    return;
  }
}

ZipReader::Record ZipReader::read_record(BoundedReader& directory) const {
  if (directory.little<uint32_t>() != kCentral) fail("its directory is damaged");
  directory.take(2 + 2);  // versions
  Record record{};
  record.flags = directory.little<uint16_t>();
  record.method = directory.little<uint16_t>();
  directory.take(2 + 2);  // time, date
  record.crc = directory.little<uint32_t>();
  record.packed = directory.little<uint32_t>();
  record.size = directory.little<uint32_t>();
  const auto name_size = directory.little<uint16_t>();
  const auto extra_size = directory.little<uint16_t>();
  const auto comment_size = directory.little<uint16_t>();
  directory.take(2 + 2 + 4);  // disk, attributes
  record.offset = directory.little<uint32_t>();
  const auto name = directory.take(name_size);
  record.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  read_extra64({directory.take(extra_size), origin_ + ": its directory"},
               {&record.size, &record.packed, &record.offset});
  directory.take(comment_size);
  if (record.flags & kEncrypted)
    fail(fmt::format("entry {} is encrypted", record.name), "give an archive without a password");
  if (record.method == 0 && record.size != record.packed)
    fail(fmt::format("entry {} is stored, yet of two sizes, {} and {}", record.name, record.packed,
                     record.size));
  return record;
}

std::span<const std::byte> ZipReader::locate(Record& record) const {
  BoundedReader reader = reader_at(record.offset, kLocalSize, "local header");
  const auto contradicts = [&](const char* what) {
    fail(fmt::format("entry {}: its local header contradicts the directory ({})", record.name,
                     what));
  };
  if (reader.little<uint32_t>() != kLocal) contradicts("no header at its offset");
  reader.take(2);
  if (reader.little<uint16_t>() != record.flags) contradicts("flags");
  if (reader.little<uint16_t>() != record.method) contradicts("method");
  reader.take(2 + 2);
  const auto crc = reader.little<uint32_t>();
  uint64_t packed = reader.little<uint32_t>(), size = reader.little<uint32_t>();
  const auto name_size = reader.little<uint16_t>();
  const auto extra_size = reader.little<uint16_t>();
  BoundedReader rest =
      reader_at(record.offset + kLocalSize, uint64_t{name_size} + extra_size, "local header");
  const auto name = rest.take(name_size);
  if (!std::ranges::equal(name, std::as_bytes(std::span(record.name)))) contradicts("name");
  // With a data descriptor behind the bytes, as PyTorch writes, the header was written too early to
  // know them.
  if (!(record.flags & kDescriptor)) {
    read_extra64({rest.take(extra_size), origin_ + ": a local header"}, {&size, &packed});
    if (size != record.size || packed != record.packed) contradicts("size");
    if (crc != record.crc) contradicts("checksum");
  }
  const uint64_t begin = record.offset + kLocalSize + name_size + extra_size;
  if (record.packed > bytes_.size() - begin)
    fail(fmt::format("entry {} should have {} bytes at {}, the file has {}", record.name,
                     record.packed, begin, bytes_.size()));
  record.end = begin + record.packed;
  return bytes_.subspan(begin, record.packed);
}

std::map<std::string, ZipEntry> ZipReader::read() {
  const Directory directory = find_directory();
  BoundedReader reader = reader_at(directory.offset, directory.size, "directory");
  std::vector<Record> records;  // grows with what is there, not with the count it states
  for (uint64_t i = 0; i < directory.count; ++i) records.push_back(read_record(reader));
  std::sort(records.begin(), records.end(),
            [](const Record& a, const Record& b) { return a.offset < b.offset; });
  std::map<std::string, ZipEntry> entries;
  uint64_t end = 0;
  for (Record& record : records) {
    if (record.offset < end) fail(fmt::format("entry {} overlaps another one", record.name));
    const auto bytes = locate(record);
    end = record.end;
    if (end > directory.offset)
      fail(fmt::format("entry {} reaches into the directory", record.name));
    if (!entries.emplace(record.name, ZipEntry{bytes, record.crc, record.method != 0}).second)
      fail(fmt::format("it holds two entries {}", record.name));
  }
  return entries;
}

template <class T>
void put(std::string& text, T value) {
  for (size_t i = 0; i < sizeof(T); ++i)
    text += static_cast<char>((static_cast<uint64_t>(value) >> (8 * i)) & 0xff);
}

uint32_t narrow(uint64_t value) { return value >= kIn64 ? kIn64 : static_cast<uint32_t>(value); }

// The fields that local header and directory have in common, from "version needed" to the length of
// the name.
void put_common(std::string& text, const std::string& name, uint64_t size, uint32_t crc) {
  put<uint16_t>(text, 45);  // zip64
  put<uint16_t>(text, kUtf8);
  put<uint16_t>(text, 0);  // stored
  put<uint16_t>(text, 0);
  put<uint16_t>(text, 0x21);  // 1980-01-01: the same tensors give the same file
  put<uint32_t>(text, crc);
  put<uint32_t>(text, narrow(size));
  put<uint32_t>(text, narrow(size));
  put<uint16_t>(text, static_cast<uint16_t>(name.size()));
}

}  // namespace

std::map<std::string, ZipEntry> read_zip(std::span<const std::byte> bytes,
                                         const std::string& origin) {
  return ZipReader(bytes, origin).read();
}

uint32_t zip_crc(std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

void ZipWriter::emit(std::span<const std::byte> bytes) {
  sink_(bytes);
  at_ += bytes.size();
}

void ZipWriter::emit(const std::string& text) { emit(std::as_bytes(std::span(text))); }

void ZipWriter::add(const std::string& name, std::span<const std::byte> bytes, uint64_t alignment) {
  NESTVIT_CHECK(name.size() < 0x1000 && alignment >= 1 && alignment <= 0x1000);
  const Record record{name, bytes.size(), at_, zip_crc(bytes)};
  std::string extra;
  if (record.size >= kIn64) {
    put(extra, kExtra64);
    put<uint16_t>(extra, 16);
    put(extra, record.size);
    put(extra, record.size);
  }
  const uint64_t begin = at_ + kLocalSize + name.size() + extra.size() + 4;
  const uint64_t padding = (alignment - begin % alignment) % alignment;
  put(extra, kExtraPadding);
  put(extra, static_cast<uint16_t>(padding));
  extra.append(padding, 'Z');
  std::string header;
  put(header, kLocal);
  put_common(header, name, record.size, record.crc);
  put(header, static_cast<uint16_t>(extra.size()));
  emit(header + name + extra);
  emit(bytes);
  records_.push_back(record);
}

void ZipWriter::finish() {
  const uint64_t begin = at_;
  for (const Record& record : records_) {
    std::string extra;
    if (record.size >= kIn64) put(extra, record.size), put(extra, record.size);
    if (record.offset >= kIn64) put(extra, record.offset);
    if (!extra.empty()) {
      std::string head;
      put(head, kExtra64);
      put(head, static_cast<uint16_t>(extra.size()));
      extra.insert(0, head);
    }
    std::string text;
    put(text, kCentral);
    put<uint16_t>(text, 45);
    put_common(text, record.name, record.size, record.crc);
    put(text, static_cast<uint16_t>(extra.size()));
    text.append(2 + 2 + 2 + 4, '\0');  // comment, disk, attributes
    put(text, narrow(record.offset));
    emit(text + record.name + extra);
  }
  const uint64_t size = at_ - begin, end = at_, count = records_.size();
  std::string text;
  if (count >= 0xffff || size >= kIn64 || begin >= kIn64) {
    put(text, kEnd64);
    put<uint64_t>(text, kEnd64Size - 12);
    put<uint16_t>(text, 45);
    put<uint16_t>(text, 45);
    put<uint64_t>(text, 0);  // disks
    put(text, count);
    put(text, count);
    put(text, size);
    put(text, begin);
    put(text, kLocator64);
    put<uint32_t>(text, 0);
    put(text, end);
    put<uint32_t>(text, 1);
  }
  const auto narrow_count = static_cast<uint16_t>(std::min<uint64_t>(count, 0xffff));
  put(text, kEnd);
  put<uint32_t>(text, 0);
  put(text, narrow_count);
  put(text, narrow_count);
  put(text, narrow(size));
  put(text, narrow(begin));
  put<uint16_t>(text, 0);
  emit(text);
}

}  // namespace nestvit
