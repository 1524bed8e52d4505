// IDX files: header, bounded inflation, and the MNIST family as a dataset.
#include "data/formats/idx.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <stdexcept>

#include "base/file.h"
#include "base/text.h"
#include "data/classes.h"
#include "data/split.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCopyAgain = "an incomplete download? Copy the file again";
constexpr uint64_t kMaxSide = 1 << 14;      // of an image
constexpr uint64_t kMaxBytes = 1ull << 36;  // of an array in a mapped file
// For an array that must be held in memory (EMNIST takes 0.55 GB).
constexpr uint64_t kMaxInflated = 1ull << 31;

// Inflates one gzip member piece by piece, so that the header can be checked before memory is taken
// for the rest.
class Inflater {
 public:
  Inflater(std::span<const std::byte> bytes, const std::string& origin)
      : rest_(bytes), origin_(origin) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    if (inflateInit2(&stream_, kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Fills `out` as far as the data goes; returns how many bytes came.
  size_t read(std::span<std::byte> out) {
    constexpr size_t kStep = 1 << 30;  // zlib counts in 32 bits
    size_t done = 0;
    while (done < out.size() && !ended_) {
      const size_t in = std::min(rest_.size(), kStep), room = std::min(out.size() - done, kStep);
      // zlib's interface is not const-correct; it does not write to next_in.
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(rest_.data()));
      stream_.avail_in = static_cast<uInt>(in);
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + done);
      stream_.avail_out = static_cast<uInt>(room);
      const int status = inflate(&stream_, Z_NO_FLUSH);
      rest_ = rest_.subspan(in - stream_.avail_in);
      done += room - stream_.avail_out;
      if (status == Z_STREAM_END)
        ended_ = true;
      else if (status == Z_BUF_ERROR && rest_.empty())
        throw Error(origin_ + ": the gzip data ends too early", kCopyAgain);
      else if (status != Z_OK)
        throw Error(fmt::format("{}: broken gzip data ({})", origin_,
                                stream_.msg ? stream_.msg : "zlib error"),
                    kCopyAgain);
    }
    return done;
  }

 private:
  z_stream stream_{};
  std::span<const std::byte> rest_;
  std::string origin_;
  bool ended_ = false;
};

size_t header_size(int rank) { return 4 + 4 * static_cast<size_t>(rank); }

// Checks the header and returns the dimensions; their product is at most kMaxBytes.
std::vector<int64_t> parse_header(std::span<const std::byte> header, int rank,
                                  const std::string& origin) {
  BoundedReader reader(header, origin);
  const uint32_t magic = reader.big<uint32_t>(), expected = 0x800u | static_cast<uint32_t>(rank);
  if (magic != expected)
    throw Error(fmt::format("{}: not an IDX file of {}: it starts with 0x{:08x}, expected 0x{:08x}",
                            origin, rank == 1 ? "labels" : "images", magic, expected),
                rank == 1 ? "labels are unsigned bytes in one dimension"
                          : "images are unsigned bytes in three dimensions: count, rows, columns");
  std::vector<int64_t> dims;
  uint64_t total = 1;
  for (int i = 0; i < rank; ++i) {
    const uint64_t dim = reader.big<uint32_t>();
    if (dim == 0 || (i > 0 && dim > kMaxSide) || total * dim > kMaxBytes)
      throw Error(fmt::format("{}: dimension {} of the IDX file is {}", origin, i, dim),
                  dim == 0 ? "it holds nothing" : kCopyAgain);
    total *= dim;
    dims.push_back(static_cast<int64_t>(dim));
  }
  return dims;
}

uint64_t byte_count(const std::vector<int64_t>& dims) {
  uint64_t total = 1;
  for (int64_t dim : dims) total *= static_cast<uint64_t>(dim);
  return total;
}

Error wrong_size(const std::string& origin, uint64_t got, uint64_t expected) {
  return Error(
      fmt::format("{}: {} bytes of data where the IDX header says {}", origin, got, expected),
      kCopyAgain);
}

IdxArray inflate_idx(std::span<const std::byte> file, int rank, const std::string& origin) {
  Inflater inflater(file, origin);
  std::array<std::byte, 16> header{};
  const auto start = std::span(header).first(header_size(rank));
  if (inflater.read(start) < start.size())
    throw Error(origin + ": too short for an IDX file", kCopyAgain);
  IdxArray array;
  array.dims = parse_header(start, rank, origin);
  const uint64_t expected = byte_count(array.dims);
  if (expected > kMaxInflated)
    throw Error(fmt::format("{}: the IDX header says {} bytes, more than is held in memory", origin,
                            expected),
                "unpack it with gunzip: plain files are memory-mapped");
  // Memory grows with the data that is there: the header may promise any amount.
  auto data = std::make_shared<std::vector<std::byte>>();
  while (data->size() < expected) {
    const size_t done = data->size(),
                 step = std::min<uint64_t>(expected - done, std::max<size_t>(done, 1 << 20));
    data->resize(done + step);
    if (size_t got = inflater.read(std::span(*data).subspan(done)); got < step)
      throw wrong_size(origin, done + got, expected);
  }
  // After the data comes the checksum, which zlib checks, or surplus data.
  std::byte surplus;
  if (inflater.read({&surplus, 1}) > 0)
    throw Error(origin + ": more data than the IDX header says", kCopyAgain);
  array.bytes = *data;
  array.owner = std::move(data);
  return array;
}

}  // namespace

IdxArray parse_idx(std::span<const std::byte> file, int rank, const std::string& origin) {
  if (file.size() >= 2 && file[0] == std::byte{0x1f} && file[1] == std::byte{0x8b})
    return inflate_idx(file, rank, origin);
  if (file.size() < header_size(rank))
    throw Error(origin + ": too short for an IDX file", kCopyAgain);
  IdxArray array;
  array.dims = parse_header(file.first(header_size(rank)), rank, origin);
  array.bytes = file.subspan(header_size(rank));
  if (array.bytes.size() != byte_count(array.dims))
    throw wrong_size(origin, array.bytes.size(), byte_count(array.dims));
  return array;
}

IdxArray read_idx(const fs::path& path, int rank) {
  auto file = MappedFile::open(path);
  IdxArray array = parse_idx(file->bytes(), rank, path.string());
  if (!array.owner) array.owner = std::move(file);
  return array;
}

namespace {

// "train-images-idx3-ubyte" with its spellings in the wild; empty when the folder has none of them.
fs::path find_file(const fs::path& folder, const std::string& part, const std::string& what,
                   int rank) {
  for (const char* joint : {"-", "."})
    for (const char* ending : {"", ".gz"}) {
      const auto path =
          folder / fmt::format("{}-{}{}idx{}-ubyte{}", part, what, joint, rank, ending);
      std::error_code ignored;
      if (fs::is_regular_file(path, ignored)) return path;
    }
  return {};
}

fs::path require_file(const fs::path& folder, const std::string& part, const std::string& what,
                      int rank) {
  if (auto path = find_file(folder, part, what, rank); !path.empty()) return path;
  throw Error(fmt::format("{}: no {}-{}-idx{}-ubyte(.gz)", folder.string(), part, what, rank),
              "the four files of the MNIST family must lie in one folder");
}

bool holds_idx(const fs::path& folder) {
  return !find_file(folder, "train", "images", 3).empty() ||
         !find_file(folder, "t10k", "images", 3).empty();
}

int max_label(const IdxArray& labels) {
  return static_cast<int>(*std::max_element(labels.bytes.begin(), labels.bytes.end()));
}

const std::vector<std::string> kFashionClasses = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                  "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                  "Bag",         "Ankle boot"};

class IdxDataset : public Dataset {
 public:
  IdxDataset(IdxArray images, IdxArray labels, std::vector<std::string> classes, std::string kind,
             std::string part)
      : images_(std::move(images)),
        labels_(std::move(labels)),
        classes_(std::move(classes)),
        kind_(std::move(kind)),
        part_(std::move(part)) {}
  int64_t size() const override { return images_.dims[0]; }
  Sample get(int64_t index) const override {
    Sample sample;
    sample.label = label(index);
    sample.name = name(index);
    sample.image.height = static_cast<int>(images_.dims[1]);
    sample.image.width = static_cast<int>(images_.dims[2]);
    sample.image.channels = 1;
    const size_t bytes = sample.image.size();
    sample.image.pixels.resize(bytes);
    std::memcpy(sample.image.pixels.data(), images_.bytes.data() + index * bytes, bytes);
    return sample;
  }
  int label(int64_t index) const override {
    if (index < 0 || index >= size()) throw std::out_of_range("IDX image " + std::to_string(index));
    return static_cast<int>(labels_.bytes[index]);
  }
  std::string name(int64_t index) const override { return fmt::format("{}/{}", part_, index); }
  const std::vector<std::string>& classes() const override { return classes_; }
  std::string kind() const override { return kind_; }

 private:
  IdxArray images_, labels_;
  std::vector<std::string> classes_;
  std::string kind_, part_;
};

bool says_fashion(const fs::path& folder) {
  return ascii_lower(folder.string()).find("fashion") != std::string::npos;
}

}  // namespace

std::optional<fs::path> find_idx(const fs::path& root) {
  // A folder of this kind has few sub-folders; more of them are the classes of an image folder.
  constexpr int kMaxFolders = 64;
  if (holds_idx(root)) return root;
  if (holds_idx(root / "raw")) return root / "raw";
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(root)) {
    if (!entry.is_directory()) continue;
    if (folders.size() == kMaxFolders) return std::nullopt;
    folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  for (const auto& folder : folders)
    for (const auto& candidate : {folder, folder / "raw"})
      if (holds_idx(candidate)) return candidate;
  return std::nullopt;
}

std::unique_ptr<Dataset> open_idx(const DatasetOptions& options, bool fashion) {
  const auto folder = find_idx(options.root);
  if (!folder)
    throw Error(
        fmt::format("{}: no train-images-idx3-ubyte(.gz) in it or in a folder below it",
                    options.root.string()),
        "name the folder that holds the four IDX files (Debian: package dataset-fashion-mnist)");
  const bool train = parse_split(options.split) == Split::kTrain;
  const std::string part = train ? "train" : "t10k";
  const auto labels_path = require_file(*folder, part, "labels", 1);
  auto images = read_idx(require_file(*folder, part, "images", 3), 3);
  auto labels = read_idx(labels_path, 1);
  if (images.dims[0] != labels.dims[0])
    throw Error(fmt::format("{}: {} labels for {} images", labels_path.string(), labels.dims[0],
                            images.dims[0]),
                kCopyAgain);

  int count = max_label(labels) + 1;
  // The test labels alone might lack the last class.
  if (const auto other = find_file(*folder, train ? "t10k" : "train", "labels", 1); !other.empty())
    count = std::max(count, max_label(read_idx(other, 1)) + 1);
  const int fashion_count = static_cast<int>(kFashionClasses.size());
  if (fashion && count > fashion_count)
    throw Error(fmt::format("{}: label {} found, but Fashion-MNIST has labels 0 to {}",
                            folder->string(), count - 1, fashion_count - 1),
                "is it another dataset of the MNIST family? Use --dataset idx");
  const bool is_fashion = fashion || (says_fashion(*folder) && count <= fashion_count);
  auto classes =
      class_names(options, count, is_fashion ? kFashionClasses : numbered_classes(count));
  require_two_classes(classes, labels_path.string(), "every label in the file is the same");
  return std::make_unique<IdxDataset>(std::move(images), std::move(labels), std::move(classes),
                                      is_fashion ? "fashion-mnist" : "idx",
                                      train ? "train" : "test");
}

fs::path system_fashion_mnist() { return "/usr/share/datasets/fashion-mnist"; }

}  // namespace nestvit
