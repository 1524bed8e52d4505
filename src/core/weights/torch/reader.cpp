// torch.save's archive: which entries it has, what the calls in its pickle mean, and the checks
// that keep every tensor inside its storage.
#include "weights/torch/reader.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "base/file.h"
#include "weights/files/wrappers.h"
#include "weights/torch/globals.h"
#include "weights/torch/pickle.h"
#include "weights/torch/zip.h"

namespace nestvit {
namespace {

using Kind = PickleKind;
using Value = PickleValue;

constexpr const char* kDamaged = "the file is damaged, or not a checkpoint";
constexpr const char* kResave =
    "save only the weights where the file was made: torch.save(model.state_dict(), "
    "\"weights.pth\")";
constexpr uint64_t kLargestPickle = 64 << 20;  // 100 KB for a NesT with its optimizer
constexpr size_t kLongestName = 1024;
constexpr size_t kLongestFacts = 16 << 20, kMostFacts = 1000;  // a config.json is the longest
constexpr size_t kMostAxes = 64;                               // PyTorch's own limit

// The archive around the pickle.
class Archive {
 public:
  Archive(std::span<const std::byte> bytes, const std::string& origin);
  const ZipEntry* find(const std::string& name) const {
    const auto found = entries_.find(root_ + name);
    return found == entries_.end() ? nullptr : &found->second;
  }
  const ZipEntry& pickle() const { return *find("data.pkl"); }

 private:
  std::map<std::string, ZipEntry> entries_;
  std::string root_;  // "archive/": named after the file that torch.save wrote
};

std::string first_words(const ZipEntry& entry) {
  const auto bytes = entry.bytes.first(std::min<size_t>(entry.bytes.size(), 20));
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.substr(0, text.find_last_not_of("\r\n ") + 1);
}

void check_is_zip(std::span<const std::byte> bytes, const std::string& origin) {
  if (bytes.size() >= 4 && std::memcmp(bytes.data(), "PK\3\4", 4) == 0) return;
  if (looks_like_torch(bytes))
    throw Error(
        fmt::format("{}: a file of PyTorch before 1.6 (a row of pickles), which is not read",
                    origin),
        "write it again with a newer PyTorch: torch.save(torch.load(\"OLD\", "
        "map_location=\"cpu\"), \"NEW.pth\")");
  if (!bytes.empty() && bytes[0] == std::byte{0x80})
    throw Error(fmt::format("{}: a pickle, but not one of torch.save", origin), kResave);
  throw Error(
      fmt::format("{}: not a file of torch.save (it does not begin as a zip archive)", origin),
      kDamaged);
}

Archive::Archive(std::span<const std::byte> bytes, const std::string& origin) {
  check_is_zip(bytes, origin);
  entries_ = read_zip(bytes, origin);
  constexpr std::string_view kPickle = "data.pkl";
  for (const auto& [name, _] : entries_)
    if (name.ends_with(kPickle) && name.find('/') == name.size() - kPickle.size() - 1)
      root_ = name.substr(0, name.size() - kPickle.size());
  if (root_.empty())
    throw Error(
        fmt::format("{}: a zip archive, but not one of torch.save: it holds no NAME/data.pkl",
                    origin),
        kDamaged);
  if (find("constants.pkl"))
    throw Error(fmt::format("{}: a TorchScript archive (torch.jit.save), a program and not weights",
                            origin),
                "take the weights out of it: torch.save(torch.jit.load(\"IN\").state_dict(), "
                "\"weights.pth\")");
  for (const auto& [name, entry] : entries_)
    if (entry.compressed)
      throw Error(
          fmt::format("{}: its entry {} is compressed", origin, name),
          "torch.save stores without compression; was the file packed again? Pack it with zip -0");
  if (const ZipEntry* order = find("byteorder"); order && first_words(*order) != "little")
    throw Error(fmt::format("{}: its byte order is \"{}\", expected \"little\"", origin,
                            first_words(*order)),
                "save it on a little-endian machine: x86 and most ARM are");
  const ZipEntry& data = pickle();
  if (data.bytes.size() > kLargestPickle)
    throw Error(fmt::format("{}: its pickle has {} bytes, at most {} are expected", origin,
                            data.bytes.size(), kLargestPickle),
                kResave);
  // PyTorch writes 0 when told not to compute checksums (torch.serialization.set_crc32_options).
  if (data.crc != 0 && data.crc != zip_crc(data.bytes))
    throw Error(fmt::format("{}: the checksum of its data.pkl is wrong", origin),
                "the file is damaged; fetch or write it again");
}

// The meaning of the pickle's values. No function recurses: a checkpoint has a fixed number of
// levels.
class CheckpointReader {
 public:
  CheckpointReader(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                   const std::string& origin)
      : archive_(bytes, origin),
        pickle_(read_pickle(archive_.pickle().bytes, torch_global, origin + ": data.pkl")),
        owner_(std::move(owner)),
        origin_(origin),
        may_copy_(2 * bytes.size()) {}
  TorchCheckpoint read(bool prefer_ema);

 private:
  using Fields = std::map<std::string_view, PickleRef>;
  struct Storage {
    std::span<const std::byte> bytes;
    std::string_view global;  // its type
    std::string key;
  };
  // A dict and the keys that lead to it.
  struct StateDict {
    std::string path;
    PickleRef ref;
    bool has_tensors = false, has_network = false;
  };
  struct Layout {
    DType dtype;
    std::vector<int64_t> shape, strides;  // in elements
    int64_t offset, count;
  };

  [[noreturn]] void fail(const std::string& what, const char* hint = kDamaged) const {
    throw Error(fmt::format("{}: {}", origin_, what), hint);
  }
  [[noreturn]] void fail_tensor(std::string_view name, const std::string& what) const {
    fail(fmt::format("tensor \"{}\": {}", name, what));
  }
  const Value& at(PickleRef ref) const { return pickle_.at(ref); }
  std::optional<Fields> fields(const Value& value) const;
  const Value* tensor_call(PickleRef ref) const;
  void look_at(StateDict& found, const Fields& dict) const;
  std::vector<StateDict> state_dicts() const;
  StateDict find_state_dict(bool prefer_ema) const;
  const Value& argument(std::string_view name, const Value& call, size_t index) const;
  Storage storage(std::string_view name, const Value& persistent) const;
  std::vector<int64_t> numbers(std::string_view name, const Value& value) const;
  DType dtype(std::string_view name, const Value& call, const Storage& storage) const;
  Tensor tensor(std::string_view name, const Value& call);
  void check_inside(std::string_view name, const Layout& layout, const Storage& storage) const;
  Tensor copied(std::string_view name, const Layout& layout, const Storage& storage);
  TensorMap tensors(const Fields& fields);
  void add_facts(std::map<std::string, std::string>& facts, const std::string& prefix,
                 const Fields& fields) const;

  Archive archive_;
  Pickle pickle_;
  std::shared_ptr<const void> owner_;
  const std::string& origin_;
  // Bytes, of all tensors together: many of them may view one storage.
  uint64_t may_copy_;
};

// The entries of a mapping with text keys, later ones winning; the attributes of a Namespace.
std::optional<CheckpointReader::Fields> CheckpointReader::fields(const Value& value) const {
  const Value* dict = &value;
  if (value.kind == Kind::kObject && value.text == kNamespace && value.state != kNoPickle)
    dict = &at(value.state);
  const bool like_dict = dict->kind == Kind::kObject && is_dict_class(dict->text);
  if (dict->kind != Kind::kDict && !like_dict) return std::nullopt;
  Fields found;
  for (size_t i = 0; i + 1 < dict->items.size(); i += 2) {
    const Value& key = at(dict->items[i]);
    if (key.kind == Kind::kText && key.text.size() <= kLongestName)
      found[key.text] = dict->items[i + 1];
  }
  return found;
}

// The _rebuild_tensor call of a tensor or a parameter.
const Value* CheckpointReader::tensor_call(PickleRef ref) const {
  const Value* value = &at(ref);
  if (value->kind == Kind::kObject &&
      (value->text == kTorchParameter || value->text == kTorchParameterState)) {
    const auto& args = at(value->args).items;
    if (args.empty()) return nullptr;
    value = &at(args[0]);
  }
  const bool is_tensor = value->kind == Kind::kObject &&
                         (value->text == kTorchTensor || value->text == kTorchTensorOfDType);
  return is_tensor ? value : nullptr;
}

void CheckpointReader::look_at(StateDict& found, const Fields& dict) const {
  for (const auto& [name, value] : dict)
    if (tensor_call(value)) {
      found.has_tensors = true;
      found.has_network |= is_wrapped_stem(name);
    }
}

// All dicts of tensors, level by level. Each dict is looked at once, by its first path: dicts may
// hold one another, or themselves.
std::vector<CheckpointReader::StateDict> CheckpointReader::state_dicts() const {
  constexpr int kDeepest = 3;
  constexpr size_t kLongestKey = 100;
  std::vector<StateDict> all, level = {{"", pickle_.root_ref()}}, below;
  std::set<PickleRef> seen = {pickle_.root_ref()};
  for (int depth = 0; depth <= kDeepest; ++depth) {
    for (StateDict& found : level) {
      const auto dict = fields(at(found.ref));
      if (!dict) continue;
      for (const auto& [key, value] : *dict)
        if (key.size() <= kLongestKey && key.find("optim") == std::string_view::npos &&
            seen.insert(value).second)
          below.push_back({found.path + (depth > 0 ? "." : "") + std::string(key), value});
      look_at(found, *dict);
      if (found.has_tensors) all.push_back(std::move(found));
    }
    level = std::exchange(below, {});
  }
  return all;
}

CheckpointReader::StateDict CheckpointReader::find_state_dict(bool prefer_ema) const {
  const auto top = fields(pickle_.root());
  if (!top) fail("it holds no dict of names to tensors", kResave);
  const auto listed = [](const auto& names) {
    std::string list;
    for (const auto& name : names) {
      if (list.size() > 200) break;
      list += fmt::format("{}{}", list.empty() ? "" : ", ", std::string_view(name).substr(0, 40));
    }
    return list.empty() ? "nothing" : list;
  };
  std::vector<StateDict> all = state_dicts();
  if (all.empty()) {
    std::vector<std::string> keys;
    for (const auto& [key, _] : *top) keys.emplace_back(key);
    fail(fmt::format("it holds no state_dict; at its top are: {}", listed(keys)), kResave);
  }
  if (std::ranges::any_of(all, &StateDict::has_network))
    std::erase_if(all, [](const StateDict& found) { return !found.has_network; });
  std::vector<std::string> paths;
  for (const StateDict& found : all) paths.push_back(found.path);
  const auto chosen = choose_place(paths, prefer_ema);
  if (!chosen)
    fail(fmt::format("it holds {} dicts of tensors, under {}", paths.size(), listed(paths)),
         "which of them is meant is unknown: save that one alone, as in "
         "torch.save(torch.load(\"IN.pth\")[\"KEY\"], \"weights.pth\")");
  return all[*chosen];
}

const Value& CheckpointReader::argument(std::string_view name, const Value& call,
                                        size_t index) const {
  const auto& args = at(call.args).items;
  if (index >= args.size())
    fail_tensor(name, fmt::format("{} gets {} arguments", call.text, args.size()));
  return at(args[index]);
}

// ("storage", its type, the entry's name, "cpu", the number of elements)
CheckpointReader::Storage CheckpointReader::storage(std::string_view name,
                                                    const Value& persistent) const {
  if (persistent.kind != Kind::kPersistent) fail_tensor(name, "it has no storage");
  const auto& id = at(persistent.items[0]).items;
  if (id.size() < 5 || at(id[0]).text != "storage" || at(id[1]).kind != Kind::kGlobal ||
      at(id[2]).kind != Kind::kText || at(id[4]).kind != Kind::kInt)
    fail_tensor(name, "its storage is not described as torch.save does");
  Storage found{{}, at(id[1]).text, std::string(at(id[2]).text.substr(0, kLongestName))};
  const ZipEntry* entry = archive_.find("data/" + found.key);
  if (!entry) fail_tensor(name, fmt::format("its storage data/{} is not in the file", found.key));
  uint64_t size = 1;
  for (const TorchStorage& type : kTorchStorages)
    if (type.global == found.global) size = dtype_size(type.type);
  const int64_t count = at(id[4]).integer;
  if (count < 0 || static_cast<uint64_t>(count) > entry->bytes.size() / size)
    fail_tensor(
        name,
        fmt::format("its storage data/{} should have {} elements, the file holds {} bytes of it",
                    found.key, count, entry->bytes.size()));
  found.bytes = entry->bytes.first(static_cast<uint64_t>(count) * size);
  return found;
}

std::vector<int64_t> CheckpointReader::numbers(std::string_view name, const Value& value) const {
  const Value* tuple = &value;
  if (tuple->kind == Kind::kObject && tuple->text == kTorchSize && !at(tuple->args).items.empty())
    tuple = &at(at(tuple->args).items[0]);
  if (tuple->kind != Kind::kTuple || tuple->items.size() > kMostAxes)
    fail_tensor(name, "its shape or strides are not a short tuple");
  std::vector<int64_t> numbers;
  for (PickleRef ref : tuple->items) {
    if (at(ref).kind != Kind::kInt || at(ref).integer < 0)
      fail_tensor(name, "its shape or strides hold something that is not a count");
    numbers.push_back(at(ref).integer);
  }
  return numbers;
}

DType CheckpointReader::dtype(std::string_view name, const Value& call,
                              const Storage& storage) const {
  const bool own = call.text == kTorchTensorOfDType;
  const std::string_view wanted = own ? argument(name, call, 6).text : storage.global;
  for (const TorchStorage& type : kTorchStorages)
    if (wanted == (own ? type.dtype : type.global)) return type.type;
  fail(fmt::format(
           "tensor \"{}\": its dtype is not one of those that are read: float, half, bfloat16, "
           "double, int8 to int64, uint8, bool",
           name),
       "convert the weights before they are saved: model.float()");
}

// Requires that the last element that the strides reach lies in the storage, and that no more
// elements are wanted than it has: an expanded scalar would otherwise be terabytes.
void CheckpointReader::check_inside(std::string_view name, const Layout& layout,
                                    const Storage& storage) const {
  const auto present = static_cast<int64_t>(storage.bytes.size() / dtype_size(layout.dtype));
  int64_t last = layout.offset;
  bool overflow = false;
  for (size_t i = 0; i < layout.shape.size() && layout.count > 0; ++i) {
    int64_t reach = 0;
    overflow |= __builtin_mul_overflow(layout.shape[i] - 1, layout.strides[i], &reach);
    overflow |= __builtin_add_overflow(last, reach, &last);
  }
  if (layout.count > present)
    fail(fmt::format("tensor \"{}\": shape {} has more elements than the {} of its storage", name,
                     shape_text(layout.shape), present),
         "an expanded tensor? Save its copy: tensor.contiguous()");
  if (overflow || (layout.count > 0 && last >= present))
    fail_tensor(
        name, fmt::format(
                  "shape {}, strides {} and offset {} reach beyond the {} elements of its storage",
                  shape_text(layout.shape), shape_text(layout.strides), layout.offset, present));
}

bool is_row_major(const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

Tensor CheckpointReader::copied(std::string_view name, const Layout& layout,
                                const Storage& storage) {
  const size_t size = dtype_size(layout.dtype);
  const uint64_t bytes = static_cast<uint64_t>(layout.count) * size;
  if (bytes > may_copy_) fail_tensor(name, "too many tensors view the same storage out of order");
  may_copy_ -= bytes;
  auto copy = std::make_shared<std::vector<std::byte>>(bytes);
  std::vector<int64_t> index(layout.shape.size(), 0);
  int64_t from = layout.offset;
  for (uint64_t to = 0; to < bytes; to += size) {
    std::memcpy(copy->data() + to, storage.bytes.data() + static_cast<uint64_t>(from) * size, size);
    for (size_t axis = index.size(); axis-- > 0;) {
      from += layout.strides[axis];
      if (++index[axis] < layout.shape[axis]) break;
      from -= layout.strides[axis] * layout.shape[axis];
      index[axis] = 0;
    }
  }
  return Tensor(layout.dtype, layout.shape, *copy, copy);
}

// _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks, ...)
Tensor CheckpointReader::tensor(std::string_view name, const Value& call) {
  const Storage stored = storage(name, argument(name, call, 0));
  Layout layout{dtype(name, call, stored), numbers(name, argument(name, call, 2)),
                numbers(name, argument(name, call, 3)), 0, 0};
  const Value& offset = argument(name, call, 1);
  if (offset.kind != Kind::kInt || offset.integer < 0)
    fail_tensor(name, "its offset is not a count");
  layout.offset = offset.integer;
  const auto count = element_count(layout.shape);
  if (!count || layout.shape.size() != layout.strides.size())
    fail_tensor(name, fmt::format("shape {} with strides {}", shape_text(layout.shape),
                                  shape_text(layout.strides)));
  layout.count = *count;
  // The stride of an axis that is never stepped along may be anything.
  for (size_t axis = 0; axis < layout.shape.size(); ++axis)
    if (layout.shape[axis] == 1) layout.strides[axis] = 0;
  check_inside(name, layout, stored);
  const size_t size = dtype_size(layout.dtype);
  if (layout.count == 0) return Tensor(layout.dtype, layout.shape, {}, owner_);
  const auto begin = stored.bytes.subspan(static_cast<uint64_t>(layout.offset) * size);
  const bool aligned = reinterpret_cast<uintptr_t>(begin.data()) % size == 0;
  if (!aligned || !is_row_major(layout.shape, layout.strides)) return copied(name, layout, stored);
  return Tensor(layout.dtype, layout.shape, begin.first(static_cast<uint64_t>(layout.count) * size),
                owner_);
}

// Entries that are not tensors (a _metadata, an _extra_state) are left out.
TensorMap CheckpointReader::tensors(const Fields& fields) {
  TensorMap found;
  for (const auto& [name, ref] : fields)
    if (const Value* call = tensor_call(ref)) found.emplace(name, tensor(name, *call));
  return found;
}

void CheckpointReader::add_facts(std::map<std::string, std::string>& facts,
                                 const std::string& prefix, const Fields& fields) const {
  size_t length = 0;  // in all: many names may share one long text
  for (const auto& [name, ref] : fields) {
    const Value& value = at(ref);
    if (facts.size() >= kMostFacts) return;
    std::string& fact = facts[prefix + std::string(name)];
    if (value.kind == Kind::kText && value.text.size() <= kLongestFacts - length) {
      fact = value.text;
      length += value.text.size();
    } else if (value.kind == Kind::kInt) {
      fact = fmt::format("{}", value.integer);
    } else if (value.kind == Kind::kFloat) {
      fact = fmt::format("{}", value.real);
    } else if (value.kind == Kind::kBool) {
      fact = value.integer ? "true" : "false";
    } else {
      facts.erase(prefix + std::string(name));
    }
  }
}

TorchCheckpoint CheckpointReader::read(bool prefer_ema) {
  const StateDict chosen = find_state_dict(prefer_ema);
  const auto top = fields(pickle_.root());
  TorchCheckpoint checkpoint;
  checkpoint.wrapper = chosen.path;
  checkpoint.tensors = tensors(*fields(at(chosen.ref)));
  add_facts(checkpoint.facts, "", *top);
  for (const char* key : {"args", "hyper_parameters"}) {
    const auto found = top->find(key);
    if (found == top->end()) continue;
    if (const auto inner = fields(at(found->second))) add_facts(checkpoint.facts, "args.", *inner);
  }
  return checkpoint;
}

}  // namespace

TorchCheckpoint parse_torch(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                            const std::string& origin, bool prefer_ema) {
  return CheckpointReader(bytes, std::move(owner), origin).read(prefer_ema);
}

TorchCheckpoint read_torch(const std::filesystem::path& path, bool prefer_ema) {
  const auto file = MappedFile::open(path);
  return parse_torch(file->bytes(), file, path.string(), prefer_ema);
}

bool looks_like_torch(std::span<const std::byte> bytes) {
  // A zip entry, or the pickle (protocol 2, LONG1) of the older form's magic number
  // 0x1950a86a20f9469cfc6c.
  for (const std::string_view head :
       {std::string_view("PK\3\4"),
        std::string_view("\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")})
    if (bytes.size() >= head.size() && std::memcmp(bytes.data(), head.data(), head.size()) == 0)
      return true;
  return false;
}

}  // namespace nestvit
