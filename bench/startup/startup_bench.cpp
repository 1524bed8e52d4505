// startup_bench MODEL [--only]: seconds of one import_model (verified, every value looked at), or
// with
// --only of reading the tensors alone, as safetensors and torch.load do; and by how much the
// process grew at its peak, over the tensors' size. bench/startup/run.py compares it with other
// programs.
#include <fmt/format.h>
#include <nestvit/error.h>
#include <sys/resource.h>

#include <chrono>

#include "weights/import.h"
#include "weights/safetensors.h"
#include "weights/torch/reader.h"

namespace {

nestvit::TensorMap read(const std::filesystem::path& path) {
  if (path.extension() == ".safetensors") return nestvit::read_safetensors(path);
  return nestvit::read_torch(path).tensors;
}

double peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

}  // namespace

int main(int argc, char** argv) {
  const bool only = argc == 3 && std::string(argv[2]) == "--only";
  if (argc != 2 && !only) {
    fmt::print(stderr, "startup_bench MODEL [--only]\n");
    return 2;
  }
  try {
    const double before = peak_bytes();
    const auto start = std::chrono::steady_clock::now();
    const nestvit::TensorMap tensors =
        only ? read(argv[1]) : nestvit::import_model(argv[1]).tensors;
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    double bytes = 0;
    for (const auto& [_, tensor] : tensors) bytes += static_cast<double>(tensor.bytes().size());
    fmt::print(R"({{"seconds": {:.6f}, "peak_over_tensors": {:.3f}}})"
               "\n",
               took.count(), (peak_bytes() - before) / bytes);
    return 0;
  } catch (const nestvit::Error& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
}
