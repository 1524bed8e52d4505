// A tiny task, a recipe for it and a folder, for tests of whole runs.
#pragma once

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "run/recipe/resolve.h"
#include "support/brightness.h"
#include "support/temp_dir.h"
#include "train/trainer.h"
#include "weights/model_dir.h"

namespace nestvit::train {

namespace fs = std::filesystem;

class TrainerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.workdir = root_ / "run";
    options_.workers = 1;
    options_.threads = 1;
  }

  Recipe recipe(const std::vector<std::pair<std::string, std::string>>& more = {}) const {
    Settings settings;
    settings.values = {{"nest.patch_size", "4"},
                       {"nest.num_layers_per_block", "[1, 1]"},
                       {"nest.embedding_dim", "16"},
                       {"nest.num_heads", "2"},
                       {"input_size", "8"},
                       {"per_device_batch_size", "6"},
                       {"num_epochs", "4"},
                       {"warmup_epochs", "1"},
                       {"learning_rate", "0.2"},
                       {"log_loss_every_steps", "2"},
                       {"checkpoint_every_steps", "-1"},
                       {"preprocessing.mean", "[0.5]"},
                       {"preprocessing.std", "[0.25]"},
                       {"train_transform", "flip"}};
    settings.values.insert(settings.values.end(), more.begin(), more.end());
    Recipe recipe = apply(Recipe(), settings);
    resolve(recipe, data_facts(train_, val_));
    return recipe;
  }
  // Stops the run with SIGTERM after `checks` looks at the flag.
  static std::function<int()> stop_after(int checks) {
    auto left = std::make_shared<int>(checks);
    return [left] { return --*left < 0 ? SIGTERM : 0; };
  }
  TensorMap weights(const fs::path& workdir) const { return load_model(workdir / "last").tensors; }
  std::vector<nlohmann::json> log() const {
    std::vector<nlohmann::json> events;
    std::istringstream lines(read_text(options_.workdir / "log.jsonl"));
    for (std::string line; std::getline(lines, line);)
      events.push_back(nlohmann::json::parse(line));
    return events;
  }

  // The "train" and "eval" lines of the log, without times.
  std::vector<nlohmann::json> measured() const {
    std::vector<nlohmann::json> lines;
    for (nlohmann::json event : log()) {
      if (event.at("event") != "train" && event.at("event") != "eval") continue;
      for (const char* time : {"time", "images_per_s", "data_wait"}) event.erase(time);
      lines.push_back(std::move(event));
    }
    return lines;
  }

  const testing::TempDir folder_;
  const fs::path root_ = folder_.path();
  TrainOptions options_;
  Brightness train_{40}, val_{10};
};

inline void expect_equal(const TensorMap& a, const TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_EQ(tensor.to_f32(), b.at(name).to_f32()) << name;
}

}  // namespace nestvit::train
