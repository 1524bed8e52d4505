// What every call of a forward checks.
#pragma once

#include <functional>
#include <span>

#include "model/nest.h"

namespace nestvit {

// Throws Error unless `images` are [batch, channels, S, S] with at least one image.
void check_images(const NestConfig& config, std::span<const float> images, int batch);

// Runs `body`; where it finds no memory, throws an Error that says what to make smaller.
void with_memory(const NestConfig& config, const std::function<void()>& body);

}  // namespace nestvit
