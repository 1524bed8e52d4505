// What the end-to-end tests share: a folder, a tiny model, tiny images, and running a program in a
// shell.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "image/codecs/codec.h"
#include "model/params.h"
#include "weights/model_dir.h"
#include "weights/safetensors.h"

namespace nestvit::testing {

namespace fs = std::filesystem;

struct Outcome {
  int code = -1;
  std::string out, err;
};

// A test with a folder of its own, which is the working directory of what it runs.
class Workshop : public ::testing::Test {
 protected:
  Workshop() {
    static std::atomic<int> counter{0};
    folder_ = fs::temp_directory_path() / fmt::format("nestvit-cli-{}-{}", getpid(), counter++);
    fs::create_directories(folder_);
  }
  ~Workshop() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  fs::path path(const std::string& name) const { return folder_ / name; }
  std::string text(const std::string& name) const { return read_text(path(name)); }

  // A shell command in the folder; "nestvit" is the program just built.
  Outcome shell(const std::string& command) const {
    const std::string line = fmt::format(
        "cd '{}' && export PATH='{}':\"$PATH\" NO_COLOR=1 OMP_NUM_THREADS=1 && {{ {} ; }} >.out "
        "2>.err",
        folder_.string(), NESTVIT_BIN_DIR, command);
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text(".out"), text(".err")};
  }
  Outcome nestvit(const std::string& arguments) const { return shell("nestvit " + arguments); }

  // 8 x 8 pixels, two levels, three classes. `labels` name them.
  LoadedModel tiny_model(std::vector<std::string> labels = {"ant", "bee", "cat"}) const {
    LoadedModel model;
    model.config = variant("nest_tiny_s16_32");
    model.config.image_size = 8;
    model.config.num_classes = static_cast<int>(labels.size());
    Fields settings = fields(model.config);
    settings.set("num_layers_per_block", "[1, 1]");
    settings.set("embedding_dim", "8");
    settings.set("num_heads", "2");
    model.preprocessing = preprocessing_mode("jax", 8);
    model.labels = std::move(labels);
    model.tensors = initial_tensors(model.config, 7);
    return model;
  }

  // The tiny model with these logits for every image: its head is all bias.
  LoadedModel constant_model(const std::vector<float>& logits,
                             std::vector<std::string> labels) const {
    LoadedModel model = tiny_model(std::move(labels));
    const Tensor& weight = model.tensors.at("head.weight");
    model.tensors["head.weight"] =
        Tensor::f32(weight.shape(), std::vector<float>(weight.size(), 0));
    model.tensors["head.bias"] = Tensor::f32({std::ssize(logits)}, logits);
    return model;
  }

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
  fs::path folder_;
};

// One clear message, with a hint or without, and nothing on stdout.
inline void expect_failure(const Outcome& outcome, int code,
                           const std::vector<std::string>& mentions) {
  using ::testing::HasSubstr;
  EXPECT_EQ(outcome.code, code) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, ::testing::ContainsRegex("(^|\n)nestvit(-train)?: error: "));
  EXPECT_THAT(outcome.err, ::testing::Not(HasSubstr("terminate called")));
  for (const std::string& mention : mentions) EXPECT_THAT(outcome.err, HasSubstr(mention));
}

}  // namespace nestvit::testing
