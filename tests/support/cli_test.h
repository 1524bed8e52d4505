// A test of the programs: a folder of its own, which is the working directory of what it runs, and
// tiny models and images in it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "image/codecs/codec.h"
#include "support/shell.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "weights/model_dir.h"
#include "weights/safetensors.h"

namespace nestvit::testing {

namespace fs = std::filesystem;

class CliTest : public ::testing::Test {
 protected:
  fs::path path(const std::string& name) const { return folder_ / name; }
  std::string text(const std::string& name) const { return read_text(path(name)); }

  Outcome shell(const std::string& command) const { return run_in_shell(folder_.path(), command); }
  Outcome nestvit(const std::string& arguments) const { return shell("nestvit " + arguments); }

  void save(const std::string& name, const LoadedModel& model) const {
    save_model(path(name), model);
  }

  void write_image(const std::string& name, std::array<uint8_t, 3> colour, int size = 12) const {
    Image image{size, size, 3, std::vector<uint8_t>(static_cast<size_t>(size) * size * 3)};
    for (size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = static_cast<uint8_t>(colour[i % 3] + i / 3 % size);
    fs::create_directories(path(name).parent_path());
    write_png(path(name), image);
  }

  // The first half of a file.
  void truncate(const std::string& name) const {
    fs::resize_file(path(name), fs::file_size(path(name)) / 2);
  }

 private:
  const TempDir folder_;
};

}  // namespace nestvit::testing
