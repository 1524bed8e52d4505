// Tiny files of every format of data, and datasets opened from them.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "image/codecs/codec.h"
#include "support/errors.h"
#include "support/temp_dir.h"

namespace nestvit::testing {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

// A folder for one test that files are written into by name.
class DataDir : public TempDir {
 public:
  fs::path text(const std::string& name, std::string_view content) const {
    fs::create_directories((*this / name).parent_path());
    std::ofstream file(*this / name, std::ios::binary);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    return *this / name;
  }
  fs::path bytes(const std::string& name, const Bytes& content) const {
    return text(name, {reinterpret_cast<const char*>(content.data()), content.size()});
  }
  // A real PNG of one colour.
  fs::path png(const std::string& name, uint8_t value = 7, int side = 2) const {
    fs::create_directories((*this / name).parent_path());
    Image image{side, side, 3, std::vector<uint8_t>(static_cast<size_t>(side) * side * 3, value)};
    write_png(*this / name, image);
    return *this / name;
  }
};

// An IDX file of `dims`; value i is (i * 7 + 1) % modulus.
inline Bytes make_idx(const std::vector<uint32_t>& dims, int modulus = 256) {
  Bytes file = {std::byte{0}, std::byte{0}, std::byte{8}, static_cast<std::byte>(dims.size())};
  uint32_t total = 1;
  for (uint32_t dim : dims) {
    for (int shift = 24; shift >= 0; shift -= 8)
      file.push_back(static_cast<std::byte>(dim >> shift & 255));
    total *= dim;
  }
  for (uint32_t i = 0; i < total; ++i)
    file.push_back(static_cast<std::byte>((i * 7 + 1) % modulus));
  return file;
}

inline Bytes gzip(const Bytes& plain) {
  z_stream stream{};
  constexpr int kGzip = 16 + MAX_WBITS;
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY);
  Bytes packed(deflateBound(&stream, plain.size()));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// CIFAR records: label i % classes, planes filled with i, i + 1 and i + 2. Two label bytes: the
// first is 9.
inline Bytes make_cifar(int records, int label_bytes, int classes) {
  Bytes file;
  for (int i = 0; i < records; ++i) {
    if (label_bytes == 2) file.push_back(std::byte{9});
    file.push_back(static_cast<std::byte>(i % classes));
    for (int plane = 0; plane < 3; ++plane)
      for (int p = 0; p < 1024; ++p)
        file.push_back(static_cast<std::byte>((i + plane + (p == 1023 ? 100 : 0)) & 255));
  }
  return file;
}

inline std::unique_ptr<Dataset> open(const fs::path& root, const std::string& split = "train",
                                     const std::string& name = "") {
  DatasetOptions options;
  options.root = root;
  options.split = split;
  options.name = name;
  return open_dataset(options);
}

inline std::set<std::string> names_of(const Dataset& dataset) {
  std::set<std::string> names;
  for (int64_t i = 0; i < dataset.size(); ++i) names.insert(dataset.name(i));
  return names;
}

// Images per class name.
inline std::map<std::string, int> counts_of(const Dataset& dataset) {
  std::map<std::string, int> counts;
  for (int64_t i = 0; i < dataset.size(); ++i) ++counts[dataset.classes().at(dataset.label(i))];
  return counts;
}

}  // namespace nestvit::testing
