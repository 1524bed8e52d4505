// What the tests of the public library need of the internal one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace nestvit::testing {

struct Fixture {
  std::filesystem::path folder;      // model/ and image.png are in it; removed at the end
  std::vector<uint8_t> pixels;       // of image.png, [12, 12, 3]
  std::vector<float> input, logits;  // the prepared image and the engine's answer

  Fixture();
  ~Fixture();
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
};

}  // namespace nestvit::testing
