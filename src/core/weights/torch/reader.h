// Files of torch.save (the zip form of PyTorch 1.6 and later): a restricted reader of their pickle,
// and a writer. A pickle is data here: only the opcodes and globals that a checkpoint needs are
// understood, anything else is refused by name, and nothing is ever called.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "weights/tensor.h"

namespace nestvit {

struct TorchCheckpoint {
  // The state_dict. Bytes in the mapped file, except of tensors that are not a row-major part of
  // their storage, which are copied.
  TensorMap tensors;
  // The keys it stood under: "state_dict_ema", "checkpoint.model"; "" when the file is a bare
  // state_dict.
  std::string wrapper;
  // The other texts, numbers and truth values at the top ("arch" -> "nest_tiny_jx", "epoch"
  // -> "7", "true"), and those of its "args" and "hyper_parameters" ("args.lr" -> "0.001"):
  // a thousand, 16 MiB of text, at most.
  std::map<std::string, std::string> facts;
};

// The state_dict is the dict of tensors in the file, at most three keys deep and not of an
// optimizer; of several one that holds a network, and of several of these the one that
// choose_place() takes. Throws Error: none, or two alike; not a zip, compressed or
// overlapping entries, an opcode or global that is not on the list, a tensor outside its storage,
// more values than a checkpoint has. Checks the checksum of the pickle; not those of the tensors,
// as torch.load: that would read every byte once more, and torch.save may be told to leave them
// out.
TorchCheckpoint read_torch(const std::filesystem::path& path, bool prefer_ema = false);
TorchCheckpoint parse_torch(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                            const std::string& origin, bool prefer_ema = false);

// Whether the bytes begin like a file of torch.save, zip or older (which read_torch refuses with a
// hint).
bool looks_like_torch(std::span<const std::byte> bytes);

// A state_dict that torch.load(weights_only=True) reads, bare, or with `facts` as {"state_dict":
// ..., fact: text}; storages aligned to 64 bytes as PyTorch does. Written beside and renamed; the
// peak of memory does not grow with the tensors.
void write_torch(const std::filesystem::path& path, const TensorMap& tensors,
                 const std::map<std::string, std::string>& facts = {});

}  // namespace nestvit
