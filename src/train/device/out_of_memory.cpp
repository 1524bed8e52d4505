// The exceptions by which libtorch reports that memory ran out.
#include "train/device/out_of_memory.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <new>
#include <string>

#include "train/torch.h"

namespace nestvit::train {
namespace {

constexpr const char* kHint =
    "these need less: a smaller --batch-size, with --grad-accum-steps for the same step; "
    "--grad-checkpointing; on a GPU --amp. What was saved is good";

// The CPU's allocator has no type of its own for it.
bool is_cpu_allocator(const std::string& what) {
  return what.find("DefaultCPUAllocator") != std::string::npos;
}

// The first sentence; what follows is for those who tune PyTorch's allocator.
std::string first_sentence(const std::string& what) { return what.substr(0, what.find(". ")); }

}  // namespace

void explain_out_of_memory(const std::function<void()>& body) {
  try {
    body();
  } catch (const c10::OutOfMemoryError& e) {
    throw Error(
        fmt::format("no memory left on the GPU: {}", first_sentence(e.what_without_backtrace())),
        kHint);
  } catch (const c10::Error& e) {
    if (!is_cpu_allocator(e.what_without_backtrace())) throw;
    throw Error("no memory left to train", kHint);
  } catch (const std::bad_alloc&) {
    throw Error("no memory left to train", kHint);
  }
}

}  // namespace nestvit::train
