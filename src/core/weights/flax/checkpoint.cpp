// clu's checkpoint folders and flax's msgpack. Reading is one pass of msgpack's parser over the
// mapped file: arrays that are wanted become tensors that point into it, all others are stepped
// over.
#include "weights/flax/checkpoint.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <msgpack.hpp>
#include <optional>

#include "base/checkpoint_state.h"
#include "base/file.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLargestStateFile = 1 << 20;
constexpr size_t kDeepest = 16;         // a TrainState has 8 levels of maps
constexpr size_t kMostArrays = 100000;  // the largest NesT has 353 parameters
constexpr size_t kLongestKey = 256;
constexpr int8_t kArray = 1, kScalar = 3;  // flax's ext types
constexpr const char* kParams = "optimizer/target/";
constexpr const char* kStatistics = "model_state/batch_stats/";

fs::path latest_in(const fs::path& folder) {
  const fs::path state = folder / "checkpoint";
  const std::string text = read_text(state, kLargestStateFile);
  const std::optional<std::string> latest = newest_checkpoint(text);
  if (!latest)
    throw Error(fmt::format("{} names no model_checkpoint_path", state.string()),
                "name the checkpoint itself, ckpt-N.flax");
  fs::path file = folder / (*latest + ".flax");  // an absolute path stays as it is
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) file = folder / fs::path(*latest + ".flax").filename();
  if (!fs::is_regular_file(file, ignored))
    throw Error(fmt::format("{} says that the latest checkpoint is {}, but {} is not there",
                            state.string(), *latest, file.string()),
                "copy the .flax file next to it, or name another ckpt-N.flax");
  return file;
}

bool is_state_folder(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / "checkpoint", ignored);
}

// ---- reading ----

std::optional<DType> dtype_of(std::string_view name) {
  for (const auto& [spelling, dtype] :
       std::initializer_list<std::pair<std::string_view, DType>>{{"float32", DType::kF32},
                                                                 {"float64", DType::kF64},
                                                                 {"float16", DType::kF16},
                                                                 {"bfloat16", DType::kBF16},
                                                                 {"int64", DType::kI64},
                                                                 {"int32", DType::kI32},
                                                                 {"int16", DType::kI16},
                                                                 {"int8", DType::kI8},
                                                                 {"uint8", DType::kU8},
                                                                 {"bool", DType::kBool}})
    if (spelling == name) return dtype;
  return std::nullopt;
}

// The base of both visitors: they stop the parser by keeping an error.
struct Visitor : msgpack::null_visitor {
  std::string problem;
  bool stop(std::string what) {
    if (problem.empty()) problem = std::move(what);
    return false;
  }
  void parse_error(size_t, size_t at) { stop(fmt::format("no msgpack at byte {}", at)); }
  void insufficient_bytes(size_t, size_t at) {
    stop(fmt::format("it ends at byte {} inside a value", at));
  }
};

// [shape, dtype, bytes], an array's payload.
struct ArrayVisitor : Visitor {
  std::vector<int64_t> shape;
  std::string dtype;
  std::span<const std::byte> bytes;
  int depth = 0, entries = 0;

  bool visit_positive_integer(uint64_t value) {
    if (depth != 2 || value > INT64_MAX || shape.size() >= 8) return stop("an odd shape");
    shape.push_back(static_cast<int64_t>(value));
    return true;
  }
  bool visit_str(const char* text, uint32_t size) {
    if (depth != 1 || entries != 1 || size > 32) return stop("an odd type");
    dtype.assign(text, size);
    return true;
  }
  bool visit_bin(const char* data, uint32_t size) {
    if (depth != 1 || entries != 2) return stop("bytes in the wrong place");
    bytes = {reinterpret_cast<const std::byte*>(data), size};
    return true;
  }
  bool start_array(uint32_t count) {
    if (++depth > 2 || (depth == 1 && count != 3) || (depth == 2 && entries != 0))
      return stop("no [shape, type, bytes]");
    return true;
  }
  bool end_array() {
    --depth;
    return true;
  }
  bool end_array_item() {
    if (depth == 1) ++entries;
    return true;
  }
  bool visit_nil() { return stop("nil in an array"); }
  bool visit_boolean(bool) { return stop("a truth value in an array"); }
  bool visit_negative_integer(int64_t) { return stop("a negative extent"); }
  bool visit_float32(float) { return stop("a number in an array's head"); }
  bool visit_float64(double) { return stop("a number in an array's head"); }
  bool visit_ext(const char*, uint32_t) { return stop("an array in an array"); }
  bool start_map(uint32_t) { return stop("a map in an array"); }
};

// Walks the TrainState; keeps the path of keys.
class StateVisitor : public Visitor {
 public:
  explicit StateVisitor(std::shared_ptr<const void> owner) : owner_(std::move(owner)) {}
  FlaxCheckpoint found;

  bool start_map(uint32_t) {
    if (path_.size() >= kDeepest) return stop(fmt::format("maps nested deeper than {}", kDeepest));
    path_.emplace_back();
    return true;
  }
  bool end_map() {
    path_.pop_back();
    return true;
  }
  bool start_map_key() {
    in_key_ = true;
    return true;
  }
  bool end_map_key() {
    in_key_ = false;
    return true;
  }
  bool visit_str(const char* text, uint32_t size) {
    if (!in_key_) return true;
    const std::string_view key(text, size);
    if (key.size() > kLongestKey) return stop("a key longer than any name");
    if (key.find('/') != std::string_view::npos) return stop("a key with a slash");
    if (key == "__msgpack_chunked_array__")
      return stop("an array in chunks of a GiB, which no NesT has");
    path_.back() = key;
    return true;
  }
  bool visit_positive_integer(uint64_t value) {
    if (!in_key_ && joined() == "step") found.step = static_cast<int64_t>(value & INT64_MAX);
    return not_a_key();
  }
  bool visit_nil() { return not_a_key(); }
  bool visit_boolean(bool) { return not_a_key(); }
  bool visit_negative_integer(int64_t) { return not_a_key(); }
  bool visit_float32(float) { return not_a_key(); }
  bool visit_float64(double) { return not_a_key(); }
  bool visit_bin(const char*, uint32_t) { return not_a_key(); }
  bool start_array(uint32_t) { return stop("a list, where flax writes maps"); }
  bool visit_ext(const char* data, uint32_t size) {
    if (!not_a_key()) return false;
    const std::string path = joined();
    if (path.starts_with(kParams))
      return add(found.params, path.substr(std::string_view(kParams).size()), data, size);
    if (path.starts_with(kStatistics))
      return add(found.batch_stats, path.substr(std::string_view(kStatistics).size()), data, size);
    if (path == "step") return read_step(data, size);
    return true;
  }

 private:
  bool not_a_key() { return !in_key_ || stop("a key that is not text"); }

  std::string joined() const {
    std::string text;
    for (const std::string& key : path_) text += (text.empty() ? "" : "/") + key;
    return text;
  }

  // `data` begins with the ext type.
  std::optional<Tensor> array(const char* data, uint32_t size) {
    const auto fail = [this](const std::string& what) {
      stop(fmt::format("array {} {}", joined(), what));
      return std::nullopt;
    };
    if (size == 0 || (data[0] != kArray && data[0] != kScalar))
      return fail("is of an unknown kind");
    ArrayVisitor payload;
    size_t at = 0;
    const bool whole = msgpack::parse(data + 1, size - 1, at, payload);
    if (!whole || !payload.problem.empty() || payload.entries != 3)
      return fail(payload.problem.empty() ? "is incomplete" : "has " + payload.problem);
    const auto dtype = dtype_of(payload.dtype);
    if (!dtype) return fail(fmt::format("has the type {}, which is not known", payload.dtype));
    const auto count = element_count(payload.shape);
    if (!count || payload.bytes.size() % dtype_size(*dtype) != 0 ||
        static_cast<uint64_t>(*count) != payload.bytes.size() / dtype_size(*dtype))
      return fail(fmt::format("is {} {} but has {} bytes", payload.dtype, shape_text(payload.shape),
                              payload.bytes.size()));
    return Tensor::unaligned(*dtype, std::move(payload.shape), payload.bytes, owner_);
  }

  bool add(TensorMap& to, const std::string& name, const char* data, uint32_t size) {
    if (to.size() >= kMostArrays) return stop("too many arrays");
    auto tensor = array(data, size);
    if (!tensor) return false;
    if (!to.emplace(name, std::move(*tensor)).second) return stop("array " + name + " comes twice");
    return true;
  }

  bool read_step(const char* data, uint32_t size) {
    const auto step = array(data, size);
    if (!step) return false;
    if (step->shape().size() > 1 || step->size() != 1) return stop("step is not a number");
    // Little-endian, as flax writes.
    BoundedReader bytes(step->bytes(), "step");
    if (step->dtype() == DType::kI32)
      found.step = static_cast<int32_t>(bytes.little<uint32_t>());
    else if (step->dtype() == DType::kI64)
      found.step = static_cast<int64_t>(bytes.little<uint64_t>());
    else
      return stop("step is not a whole number");
    return true;
  }

  std::shared_ptr<const void> owner_;
  std::vector<std::string> path_;
  bool in_key_ = false;
};

}  // namespace

std::optional<fs::path> find_flax_checkpoint(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) {
    if (path.extension() == ".flax") return path;
    return path.filename() == "checkpoint" ? std::optional(latest_in(path.parent_path()))
                                           : std::nullopt;
  }
  if (is_state_folder(path)) return latest_in(path);
  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  if (!fs::exists(path, ignored) && is_state_folder(parent)) return latest_in(parent);
  return std::nullopt;
}

FlaxCheckpoint read_flax_checkpoint(const fs::path& file) {
  const auto mapped = MappedFile::open(file);
  FlaxCheckpoint checkpoint = parse_flax_checkpoint(mapped->bytes(), mapped, file.string());
  checkpoint.file = mapped;
  return checkpoint;
}

FlaxCheckpoint parse_flax_checkpoint(std::span<const std::byte> bytes,
                                     std::shared_ptr<const void> owner, const std::string& origin) {
  StateVisitor visitor(std::move(owner));
  size_t at = 0;
  const bool whole =
      looks_like_flax(bytes) &&
      msgpack::parse(reinterpret_cast<const char*>(bytes.data()), bytes.size(), at, visitor);
  if (!whole || !visitor.problem.empty())
    throw Error(
        fmt::format("{} is not a whole flax checkpoint: {}", origin,
                    visitor.problem.empty() ? "it is not a map that begins like a TrainState"
                                            : visitor.problem),
        "copy or download the file again");
  if (at != bytes.size())
    throw Error(fmt::format("{} goes on for {} bytes after its end", origin, bytes.size() - at),
                "copy or download the file again");
  if (visitor.found.params.empty())
    throw Error(fmt::format("{} has no parameters under optimizer/target", origin),
                "expected is a TrainState, as the official training code saves it");
  return std::move(visitor.found);
}

bool looks_like_flax(std::span<const std::byte> bytes) {
  if (bytes.size() < 8) return false;
  const auto at = [&](size_t i) { return std::to_integer<uint8_t>(bytes[i]); };
  size_t key = 0;
  if ((at(0) & 0xf0) == 0x80)
    key = 1;
  else if (at(0) == 0xde)
    key = 3;
  else if (at(0) == 0xdf)
    key = 5;
  if (key == 0 || (at(key) & 0xe0) != 0xa0) return false;
  const size_t length = at(key) & 0x1f;
  if (bytes.size() < key + 1 + length) return false;
  const std::string_view first(reinterpret_cast<const char*>(bytes.data()) + key + 1, length);
  return first == "step" || first == "optimizer" || first == "model_state";
}

}  // namespace nestvit
