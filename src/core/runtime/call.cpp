// The errors of a call that its caller can cause.
#include "runtime/call.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <new>

namespace nestvit {

void check_images(const NestConfig& config, std::span<const float> images, int batch) {
  if (batch < 1)
    throw Error(fmt::format("a batch of {} images cannot be run", batch),
                "give at least one image");
  const int64_t S = config.image_size, wanted = batch * config.in_channels * S * S;
  if (static_cast<int64_t>(images.size()) != wanted)
    throw Error(
        fmt::format("the input of {} holds {} numbers; a batch of {} is [{}, {}, {}, {}], {} "
                    "numbers",
                    config.variant, images.size(), batch, batch, config.in_channels, S, S, wanted),
        "resize the images to the model's input size");
}

void with_memory(const NestConfig& config, const std::function<void()>& body) {
  try {
    body();
  } catch (const std::bad_alloc&) {
    throw Error(fmt::format("no memory left to run {}", config.variant),
                "use a smaller batch, image or model, or fewer threads");
  }
}

}  // namespace nestvit
