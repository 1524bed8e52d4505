// A test of downloads, with a folder and an environment of its own: nothing of the user's caches or
// tokens is seen, no real network is reached, and no test waits.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "hub/download.h"
#include "support/errors.h"
#include "support/hub/http_server.h"
#include "support/temp_dir.h"

namespace nestvit::testing {

namespace fs = std::filesystem;

class HubTest : public ::testing::Test {
 protected:
  HubTest() {
    for (const char* name :
         {"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_TOKEN_PATH",
          "HF_HUB_OFFLINE", "XDG_CACHE_HOME", "STORAGE_EMULATOR_HOST", "NESTVIT_DATASET_MIRROR",
          "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy",
          "NO_PROXY", "CURL_CA_BUNDLE", "SSL_CERT_FILE"})
      ::unsetenv(name);
    set("HOME", folder_.path().string());
    set("HF_ENDPOINT", "http://127.0.0.1:9");  // nobody listens there
  }
  static void set(const char* name, const std::string& value) { ::setenv(name, value.c_str(), 1); }
  fs::path path(const std::string& name) const { return folder_ / name; }

  // Waits are noted, not waited.
  Transport transport() {
    Transport quiet;
    quiet.progress = false;
    quiet.patience.sleep = [this](double seconds) { waits_.push_back(seconds); };
    return quiet;
  }
  const std::vector<double>& waits() const { return waits_; }

  std::vector<std::string> names_in(const fs::path& folder) const {
    std::vector<std::string> names;
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(folder, missing))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  const TempDir folder_;
  std::vector<double> waits_;
};

}  // namespace nestvit::testing
