// A test of datasets that are opened from an index: data in data/, an index per split beside it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "support/data/data_files.h"

namespace nestvit::testing {

class IndexTest : public ::testing::Test {
 protected:
  fs::path data() const { return folder / "data"; }
  fs::path index(const std::string& split = "train") const { return folder / (split + ".idx"); }
  std::unique_ptr<Dataset> open(const std::string& split = "train", double share = 0.25) const {
    DatasetOptions options;
    options.root = data();
    options.split = split;
    options.val_share = share;
    options.index = index(split);
    return open_dataset(options);
  }
  // Opens; returns what went to the log.
  std::string log_of_opening(const std::string& split = "train", double share = 0.25) const {
    ::testing::internal::CaptureStderr();
    open(split, share);
    return ::testing::internal::GetCapturedStderr();
  }
  static std::vector<std::string> listing(const Dataset& dataset) {
    std::vector<std::string> all = dataset.classes();
    for (int64_t i = 0; i < dataset.size(); ++i)
      all.push_back(dataset.name(i) + " " + std::to_string(dataset.label(i)));
    return all;
  }
  // As if nothing in data/ had been touched since `hours` before now, which stands still.
  void age(int hours = 100) const {
    static const auto now = fs::file_time_type::clock::now();
    const auto then = now - std::chrono::hours(hours);
    for (const auto& entry : fs::recursive_directory_iterator(data()))
      fs::last_write_time(entry.path(), then);
    fs::last_write_time(data(), then);
  }
  // Three classes of eight images.
  void images() const {
    for (const char* name : {"cat", "dog", "fox"})
      for (int i = 0; i < 8; ++i)
        folder.png(std::string("data/") + name + (i % 2 ? "/more/" : "/") + std::to_string(i) +
                   ".png");
    age();
  }
  void save() const {
    for (const char* split : {"train", "val"}) open(split)->save_index(index(split));
  }

  const DataDir folder{};
};

}  // namespace nestvit::testing
