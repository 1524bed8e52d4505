// libFuzzer: any bytes as a file of torch.save, and as the pickle in one (an archive around mutated
// bytes would rarely be accepted). Whatever is accepted must be readable to its last value.
#include <nestvit/error.h>

#include <cstdint>
#include <vector>

#include "weights/torch/reader.h"
#include "weights/torch/zip.h"

namespace {

void read(std::vector<std::byte> file) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(file));
  try {
    for (const bool prefer_ema : {false, true})
      for (const auto& [name, tensor] :
           nestvit::parse_torch(*owner, owner, "fuzz", prefer_ema).tensors)
        tensor.to_f32();
  } catch (const nestvit::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  read({bytes.begin(), bytes.end()});
  std::vector<std::byte> file;
  nestvit::ZipWriter zip(
      [&](std::span<const std::byte> part) { file.insert(file.end(), part.begin(), part.end()); });
  zip.add("fuzz/data.pkl", bytes, 64);
  zip.add("fuzz/data/0", std::vector<std::byte>(1536), 64);
  zip.finish();
  read(std::move(file));
  return 0;
}
