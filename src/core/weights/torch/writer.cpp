// A state_dict as torch.save writes it: the pickle and the archive.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "weights/torch/globals.h"
#include "weights/torch/reader.h"
#include "weights/torch/zip.h"

namespace nestvit {
namespace {

// The writer's half of the pickle machine: just what a state_dict needs.
class Pickler {
 public:
  void opcode(char code) { text_ += code; }
  void global(std::string_view name) {
    const size_t dot = name.rfind('.');
    text_ += fmt::format("c{}\n{}\n", name.substr(0, dot), name.substr(dot + 1));
  }
  void text(std::string_view value) {
    opcode('X');
    little(value.size(), 4);
    text_ += value;
  }
  void number(int64_t value) {
    if (value <= INT32_MAX) {
      opcode('J');
      little(static_cast<uint64_t>(value), 4);
    } else {
      opcode('\x8a');
      little(8, 1);
      little(static_cast<uint64_t>(value), 8);
    }
  }
  void tuple(const std::vector<int64_t>& values) {
    opcode('(');
    for (int64_t value : values) number(value);
    opcode('t');
  }
  void empty_dict() {
    global(kOrderedDict);
    text_ += ")R";
  }
  std::string take() { return std::move(text_); }

 private:
  void little(uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) text_ += static_cast<char>((value >> (8 * i)) & 0xff);
  }
  std::string text_ = "\x80\x02";
};

void pickle_tensor(Pickler& pickler, const Tensor& tensor, const std::string& key) {
  const auto type = std::ranges::find(kTorchStorages, tensor.dtype(), &TorchStorage::type);
  std::vector<int64_t> strides(tensor.shape().size());
  int64_t stride = 1;
  for (size_t i = strides.size(); i-- > 0; stride *= std::max<int64_t>(tensor.shape()[i], 1))
    strides[i] = stride;
  pickler.global(kTorchTensor);
  pickler.opcode('(');
  pickler.opcode('(');
  pickler.text("storage");
  pickler.global(type->global);
  pickler.text(key);
  pickler.text("cpu");
  pickler.number(tensor.size());
  pickler.opcode('t');
  pickler.opcode('Q');
  pickler.number(0);
  pickler.tuple(tensor.shape());
  pickler.tuple(strides);
  pickler.opcode('\x89');  // requires_grad=False
  pickler.empty_dict();    // hooks
  pickler.opcode('t');
  pickler.opcode('R');
}

void pickle_state_dict(Pickler& pickler, const TensorMap& tensors) {
  pickler.empty_dict();
  pickler.opcode('(');
  size_t key = 0;
  for (const auto& [name, tensor] : tensors) {
    pickler.text(name);
    pickle_tensor(pickler, tensor, fmt::format("{}", key++));
  }
  pickler.opcode('u');
}

std::string pickle_of(const TensorMap& tensors, const std::map<std::string, std::string>& facts) {
  Pickler pickler;
  if (facts.empty()) {
    pickle_state_dict(pickler, tensors);
  } else {
    pickler.opcode('}');
    pickler.opcode('(');
    pickler.text("state_dict");
    pickle_state_dict(pickler, tensors);
    for (const auto& [key, value] : facts) {
      pickler.text(key);
      pickler.text(value);
    }
    pickler.opcode('u');
  }
  pickler.opcode('.');
  return pickler.take();
}

}  // namespace

void write_torch(const std::filesystem::path& path, const TensorMap& tensors,
                 const std::map<std::string, std::string>& facts) {
  constexpr uint64_t kAlignment = 64;
  AtomicFile file(path);
  ZipWriter zip([&](std::span<const std::byte> bytes) { file.write(bytes); });
  const auto add_text = [&](const std::string& name, const std::string& text) {
    zip.add("archive/" + name, std::as_bytes(std::span(text)), kAlignment);
  };
  add_text("data.pkl", pickle_of(tensors, facts));
  add_text("byteorder", "little");
  size_t key = 0;
  for (const auto& [_, tensor] : tensors)
    zip.add(fmt::format("archive/data/{}", key++), tensor.bytes(), kAlignment);
  add_text("version", "3\n");
  zip.finish();
  file.commit();
}

}  // namespace nestvit
