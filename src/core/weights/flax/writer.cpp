// Writes clu's checkpoint folder: the TrainState as flax's msgpack, streamed, so that memory does
// not grow with it.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>
#include <msgpack.hpp>

#include "base/check.h"
#include "base/file.h"
#include "weights/flax/checkpoint.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr int8_t kArray = 1;  // flax's ext type

// The tree that "a/b/c" paths mean.
struct Node {
  std::map<std::string, Node> children;
  const Tensor* tensor = nullptr;  // a leaf
};

Node tree_of(const TensorMap& tensors) {
  Node root;
  for (const auto& [path, tensor] : tensors) {
    Node* node = &root;
    for (size_t begin = 0; begin <= path.size();) {
      const size_t end = std::min(path.find('/', begin), path.size());
      node = &node->children[path.substr(begin, end - begin)];
      begin = end + 1;
    }
    node->tensor = &tensor;
  }
  return root;
}

// msgpack::packer's stream.
struct FileStream {
  AtomicFile& file;
  void write(const char* data, size_t size) { file.write(std::as_bytes(std::span(data, size))); }
};

class StateWriter {
 public:
  explicit StateWriter(AtomicFile& file) : stream_{file}, pack_(stream_) {}

  void write(const TensorMap& params, const TensorMap& batch_stats) {
    const Node tree = tree_of(params);
    pack_.pack_map(3);
    pack_.pack("step");
    pack_.pack(0);
    pack_.pack("optimizer");
    pack_.pack_map(2);
    pack_.pack("target");
    pack_tree(tree, [this](const Tensor& tensor) { pack_array(tensor.shape(), tensor.bytes()); });
    pack_.pack("state");
    pack_.pack_map(2);
    pack_.pack("step");
    pack_step();
    pack_.pack("param_states");
    pack_tree(tree, [this](const Tensor& tensor) { pack_moments(tensor); });
    pack_.pack("model_state");
    pack_.pack_map(batch_stats.empty() ? 0 : 1);
    if (batch_stats.empty()) return;
    pack_.pack("batch_stats");
    pack_tree(tree_of(batch_stats),
              [this](const Tensor& tensor) { pack_array(tensor.shape(), tensor.bytes()); });
  }

 private:
  template <class Leaf>
  void pack_tree(const Node& node, const Leaf& leaf) {
    if (node.tensor) return leaf(*node.tensor);
    pack_.pack_map(static_cast<uint32_t>(node.children.size()));
    for (const auto& [key, child] : node.children) {
      pack_.pack(key);
      pack_tree(child, leaf);
    }
  }

  void pack_moments(const Tensor& tensor) {
    zeros_.resize(std::max(zeros_.size(), tensor.bytes().size()));
    pack_.pack_map(2);
    for (const char* moment : {"grad_ema", "grad_sq_ema"}) {
      pack_.pack(moment);
      pack_array(tensor.shape(), std::span(zeros_).first(tensor.bytes().size()));
    }
  }

  // The length of an ext stands before its payload, so the payload's head is packed aside first.
  void pack_array(const std::vector<int64_t>& shape, std::span<const std::byte> bytes,
                  const char* dtype = "float32") {
    if (bytes.size() > (1u << 30))
      throw Error("an array of more than 1 GiB cannot be written as flax does", "use --to nestvit");
    msgpack::sbuffer head;
    msgpack::packer<msgpack::sbuffer> packer(head);
    packer.pack_array(3);
    packer.pack(shape);
    packer.pack(dtype);
    packer.pack_bin(static_cast<uint32_t>(bytes.size()));
    pack_.pack_ext(head.size() + bytes.size(), kArray);
    pack_.pack_ext_body(head.data(), static_cast<uint32_t>(head.size()));
    stream_.file.write(bytes);
  }

  void pack_step() {
    const int32_t zero = 0;
    pack_array({}, std::as_bytes(std::span(&zero, 1)), "int32");
  }

  FileStream stream_;
  msgpack::packer<FileStream> pack_;
  std::vector<std::byte> zeros_;
};

}  // namespace

void write_flax_checkpoint(const fs::path& folder, const TensorMap& params,
                           const TensorMap& batch_stats) {
  for (const TensorMap* map : {&params, &batch_stats})
    for (const auto& [name, tensor] : *map) NESTVIT_CHECK(tensor.dtype() == DType::kF32);
  write_directory(folder, [&](const fs::path& inside) {
    AtomicFile file(inside / "ckpt-1.flax");
    StateWriter(file).write(params, batch_stats);
    file.commit();
    write_file(inside / "checkpoint", std::string_view("model_checkpoint_path: \"ckpt-1\"\n"
                                                       "all_model_checkpoint_paths: \"ckpt-1\"\n"));
  });
}

}  // namespace nestvit
