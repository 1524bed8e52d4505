// Small tar files, honest and hostile, and gzip around them.
#pragma once

#include <fmt/format.h>
#include <zlib.h>

#include <cstring>
#include <string>

namespace nestvit::testing {

// One ustar member. `type`: '0' file, '1' hard link, '2' symbolic link, '3' device, '5' folder, '6'
// pipe. `size`: what the header says, when it shall not be the content's.
inline std::string tar_member(const std::string& name, const std::string& content, char type = '0',
                              const std::string& target = "", int64_t size = -1) {
  std::string block(512, '\0');
  const auto put = [&](size_t at, const std::string& text) {
    block.replace(at, text.size(), text);
  };
  put(0, name.substr(0, 100));
  put(100, "0000644");
  put(124, fmt::format("{:011o}", size < 0 ? static_cast<int64_t>(content.size()) : size));
  put(136, "00000000000");
  put(148, "        ");
  block[156] = type;
  put(157, target);
  put(257, std::string("ustar\00000", 8));
  unsigned sum = 0;
  for (unsigned char byte : block) sum += byte;
  put(148, fmt::format("{:06o}", sum) + '\0' + ' ');
  block += content;
  block.resize((block.size() + 511) / 512 * 512);
  return block;
}

inline std::string tar_end() { return std::string(1024, '\0'); }

inline std::string gzip(const std::string& content) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

}  // namespace nestvit::testing
