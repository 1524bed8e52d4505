// safetensors files: 8 bytes of header length, a JSON header, the data. Reading maps the file and
// copies nothing.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "weights/tensor.h"

namespace nestvit {

using Metadata = std::map<std::string, std::string>;

// Throws Error for anything that is not exactly a safetensors file: truncated, overlapping, gaps,
// header too long (over 100 MB), sizes that do not match shapes.
TensorMap read_safetensors(const std::filesystem::path& path, Metadata* metadata = nullptr);
TensorMap parse_safetensors(std::span<const std::byte> bytes,
                            const std::shared_ptr<const void>& owner, const std::string& origin,
                            Metadata* metadata = nullptr);

// Written beside and renamed. Header padded to 8 bytes; metadata gets "format": "pt" as
// transformers expects.
void write_safetensors(const std::filesystem::path& path, const TensorMap& tensors,
                       Metadata metadata = {});

}  // namespace nestvit
