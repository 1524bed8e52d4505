// Fuzzes index files behind their checksums: any blocks give lists that work, or an Error. The
// input is cut into blocks, each the length of its first byte (255: all that is left), which get
// right checksums.
#include <nestvit/error.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "base/crc32c.h"
#include "data/index/index.h"
#include "data/index/path_list.h"

namespace {

void add(std::vector<std::byte>& file, const void* data, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  file.insert(file.end(), bytes, bytes + size);
}

void add_block(std::vector<std::byte>& file, const uint8_t* data, uint64_t size) {
  add(file, &size, sizeof size);
  add(file, data, size);
  const uint32_t crc = nestvit::crc32c(std::as_bytes(std::span(data, size)));
  add(file, &crc, sizeof crc);
}

void read(std::span<const std::byte> bytes) {
  try {
    auto index = nestvit::IndexReader::parse(bytes, "fuzz", "");
    if (!index) return;
    const auto list = nestvit::PathList::read(*index);
    for (int64_t i = 0; i < list.size(); ++i) list.at(i);
    index->texts();
    index->array<nestvit::Stamp>();
    index->end();
  } catch (const nestvit::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read(std::as_bytes(std::span(data, size)));
  std::vector<std::byte> file;
  const char magic[] = "nestvit index 1\n";
  add(file, magic, std::strlen(magic));
  add_block(file, nullptr, 0);
  while (size > 0) {
    const size_t length = *data == 255 ? size - 1 : std::min<size_t>(*data, size - 1);
    add_block(file, data + 1, length);
    data += 1 + length;
    size -= 1 + length;
  }
  read(file);
  return 0;
}
