// A header parser that accepts nothing but the format's three levels, the checks of the layout, and
// the writer.
#include "weights/safetensors.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "base/file.h"

namespace nestvit {
namespace {

using nlohmann::json;

// The limit of the format's reference implementation.
constexpr uint64_t kLargestHeader = 100'000'000;
constexpr const char* kDamaged = "the file is damaged, or not a safetensors file";
constexpr const char* kTruncated = "perhaps a download that stopped early? Fetch the file again";

constexpr std::array kDTypes = {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64,
                                DType::kI32, DType::kI16, DType::kI8,  DType::kU8,   DType::kBool};

struct Entry {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<int64_t> offsets;  // begin and end within the data
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

// nlohmann's SAX interface: no tree is built, so a hostile header costs no more memory than its own
// size, and a name that is given twice is seen.
class HeaderParser {
 public:
  HeaderParser(std::string origin, Metadata* metadata)
      : origin_(std::move(origin)), metadata_(metadata) {}
  std::vector<Entry> take() { return std::move(entries_); }

  bool null() { unexpected("null"); }
  bool boolean(bool) { unexpected("true or false"); }
  bool number_float(double, const std::string& text) { unexpected(text); }
  bool binary(std::vector<uint8_t>&) { unexpected("binary data"); }
  bool number_integer(int64_t value) { unexpected(fmt::format("{}", value)); }
  bool number_unsigned(uint64_t value) {
    if (level_ != 3) unexpected(fmt::format("{}", value));
    if (value > INT64_MAX) unexpected(fmt::format("{}", value));
    list_->push_back(static_cast<int64_t>(value));
    return true;
  }
  bool string(std::string& text) {
    if (level_ == 2 && in_metadata_) {
      if (metadata_) (*metadata_)[field_] = text;
    } else if (level_ == 2 && field_ == "dtype") {
      entries_.back().dtype = text;
    } else {
      unexpected('"' + text.substr(0, 40) + '"');
    }
    return true;
  }
  bool start_object(size_t) {
    if (level_ == 1 && !in_metadata_) entries_.emplace_back().name = name_;
    if (level_ >= 2) unexpected("an object");
    ++level_;
    return true;
  }
  bool key(std::string& text) {
    if (level_ == 1) {
      name_ = text;
      in_metadata_ = name_ == "__metadata__";
      if (!names_.insert(name_).second) fail(fmt::format("names \"{}\" twice", name_));
    } else {
      field_ = text;
      if (!in_metadata_) mark_field();
    }
    return true;
  }
  bool end_object() {
    if (level_ == 2 && !in_metadata_) {
      const Entry& entry = entries_.back();
      if (!entry.has_dtype || !entry.has_shape || !entry.has_offsets)
        fail(fmt::format("tensor \"{}\" lacks dtype, shape or data_offsets", name_));
    }
    --level_;
    return true;
  }
  bool start_array(size_t) {
    if (level_ != 2 || in_metadata_ || field_ == "dtype") unexpected("a list");
    list_ = field_ == "shape" ? &entries_.back().shape : &entries_.back().offsets;
    ++level_;
    return true;
  }
  bool end_array() {
    --level_;
    return true;
  }
  bool parse_error(size_t position, const std::string&, const json::exception&) {
    fail(fmt::format("is not valid JSON at byte {}", position));
  }

 private:
  [[noreturn]] void fail(const std::string& what) {
    throw Error(fmt::format("{}: its header {}", origin_, what), kDamaged);
  }
  [[noreturn]] void unexpected(const std::string& got) {
    fail(fmt::format("holds {} where {} belongs (entry \"{}\")", got,
                     level_ == 0                        ? "an object of tensors"
                     : level_ == 1                      ? "the description of a tensor"
                     : in_metadata_                     ? "a text"
                     : level_ == 2 && field_ == "dtype" ? "the name of a dtype"
                                                        : "a list of whole numbers",
                     name_));
  }
  void mark_field() {
    Entry& entry = entries_.back();
    bool* seen = field_ == "dtype"          ? &entry.has_dtype
                 : field_ == "shape"        ? &entry.has_shape
                 : field_ == "data_offsets" ? &entry.has_offsets
                                            : nullptr;
    if (!seen) fail(fmt::format("has an unknown key \"{}\" in tensor \"{}\"", field_, name_));
    if (*seen) fail(fmt::format("gives \"{}\" of tensor \"{}\" twice", field_, name_));
    *seen = true;
  }

  std::string origin_;
  Metadata* metadata_;
  std::vector<Entry> entries_;
  std::set<std::string> names_;
  std::string name_, field_;
  std::vector<int64_t>* list_ = nullptr;
  // Open objects and lists: 1 the header, 2 a tensor or the metadata, 3 a list of numbers.
  int level_ = 0;
  bool in_metadata_ = false;
};

DType parse_dtype(const Entry& entry, const std::string& origin) {
  for (DType dtype : kDTypes)
    if (entry.dtype == dtype_name(dtype)) return dtype;
  throw Error(fmt::format("{}: tensor \"{}\" has dtype \"{}\", which is not supported", origin,
                          entry.name, entry.dtype.substr(0, 40)),
              "store it as F32, F16 or BF16");
}

// Every byte of the data belongs to exactly one tensor. Sorts `entries` by position.
void check_layout(std::vector<Entry>& entries, uint64_t data_size, const std::string& origin) {
  for (const Entry& entry : entries)
    if (entry.offsets.size() != 2 || entry.offsets[0] > entry.offsets[1])
      throw Error(fmt::format("{}: tensor \"{}\" has data_offsets {}, expected [begin, end]",
                              origin, entry.name, shape_text(entry.offsets)),
                  kDamaged);
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.offsets < b.offsets; });
  int64_t at = 0;
  for (const Entry& entry : entries) {
    if (entry.offsets[0] != at)
      throw Error(fmt::format("{}: tensor \"{}\" begins at byte {} of the data, expected {}: "
                              "tensors overlap or leave a gap",
                              origin, entry.name, entry.offsets[0], at),
                  kDamaged);
    at = entry.offsets[1];
  }
  if (static_cast<uint64_t>(at) != data_size)
    throw Error(fmt::format("{}: its header describes {} bytes of data, the file holds {}", origin,
                            at, data_size),
                static_cast<uint64_t>(at) > data_size ? kTruncated : kDamaged);
}

std::span<const std::byte> take_header(BoundedReader& reader, const std::string& origin) {
  const uint64_t length = reader.little<uint64_t>();
  if (length > kLargestHeader)
    throw Error(fmt::format("{}: its header would be {} bytes long; at most {} are allowed", origin,
                            length, kLargestHeader),
                kDamaged);
  const auto header = reader.take(length);
  if (header.empty() || header[0] != std::byte{'{'})
    throw Error(fmt::format("{}: its header does not begin with \"{{\"", origin), kDamaged);
  return header;
}

std::string quoted(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

using Named = TensorMap::const_pointer;

// Widest dtype first, then by name: every tensor is then aligned within the data, as in the
// reference writer.
std::vector<Named> writing_order(const TensorMap& tensors) {
  std::vector<Named> order;
  for (const auto& named : tensors) order.push_back(&named);
  std::stable_sort(order.begin(), order.end(), [](Named a, Named b) {
    return dtype_size(a->second.dtype()) > dtype_size(b->second.dtype());
  });
  return order;
}

std::string make_header(const std::vector<Named>& order, const Metadata& metadata) {
  std::string text = "{\"__metadata__\":{";
  for (const auto& [key, value] : metadata)
    text += fmt::format("{}{}:{}", text.back() == '{' ? "" : ",", quoted(key), quoted(value));
  text += "}";
  uint64_t at = 0;
  for (const Named named : order) {
    const Tensor& tensor = named->second;
    const uint64_t end = at + tensor.bytes().size();
    text += fmt::format(",{}:{{\"dtype\":\"{}\",\"shape\":{},\"data_offsets\":[{},{}]}}",
                        quoted(named->first), dtype_name(tensor.dtype()),
                        json(tensor.shape()).dump(), at, end);
    at = end;
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace

TensorMap parse_safetensors(std::span<const std::byte> bytes,
                            const std::shared_ptr<const void>& owner, const std::string& origin,
                            Metadata* metadata) {
  BoundedReader reader(bytes, origin);
  const auto header = take_header(reader, origin);
  const auto data = reader.take(reader.remaining());
  if (metadata) metadata->clear();
  HeaderParser parser(origin, metadata);
  const char* text = reinterpret_cast<const char*>(header.data());
  json::sax_parse(text, text + header.size(), &parser);
  std::vector<Entry> entries = parser.take();
  check_layout(entries, data.size(), origin);

  TensorMap tensors;
  for (Entry& entry : entries) {
    const DType dtype = parse_dtype(entry, origin);
    const auto size = static_cast<uint64_t>(entry.offsets[1] - entry.offsets[0]);
    const auto count = element_count(entry.shape);
    // The count is compared, not the bytes: count * dtype_size could overflow.
    if (!count || size % dtype_size(dtype) != 0 ||
        static_cast<uint64_t>(*count) != size / dtype_size(dtype))
      throw Error(fmt::format("{}: tensor \"{}\" has {} bytes, which is not {} of {}", origin,
                              entry.name, size, shape_text(entry.shape), dtype_name(dtype)),
                  kDamaged);
    tensors.emplace(std::move(entry.name),
                    Tensor(dtype, std::move(entry.shape),
                           data.subspan(static_cast<size_t>(entry.offsets[0]), size), owner));
  }
  return tensors;
}

TensorMap read_safetensors(const std::filesystem::path& path, Metadata* metadata) {
  const auto file = MappedFile::open(path);
  TensorMap tensors = parse_safetensors(file->bytes(), file, path.string(), metadata);
  for (auto& [name, tensor] : tensors) tensor.lies_in(file);
  return tensors;
}

void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       Metadata metadata) {
  metadata.emplace("format", "pt");
  const auto order = writing_order(tensors);
  const std::string header = make_header(order, metadata);
  if (header.size() > kLargestHeader)
    throw Error(fmt::format("cannot write {}: the header of {} tensors is too long", path.string(),
                            tensors.size()));
  std::array<std::byte, 8> length;
  for (size_t i = 0; i < length.size(); ++i)
    length[i] = static_cast<std::byte>((static_cast<uint64_t>(header.size()) >> (8 * i)) & 0xff);
  AtomicFile file(path);
  file.write(length);
  file.write(std::as_bytes(std::span(header)));
  for (const Named named : order) file.write(named->second.bytes());
  file.commit();
}

}  // namespace nestvit
