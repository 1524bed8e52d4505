// Fetching models and datasets by name, into the caches that other tools use too. Nothing here runs
// unless a user named something remote.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nestvit {

// hf://owner/name[@revision], gs://bucket/path, http(s)://host/file.
bool is_remote(const std::string& name);

// Datasets that pull_dataset knows: fashion-mnist, cifar10, cifar100, imagenette.
const std::vector<std::string>& known_datasets();

struct PullOptions {
  std::filesystem::path target;  // where to put it; empty: the cache
  bool progress = true;
};

// The local file or folder of a remote model, downloaded unless the cache has it. hf:// keeps the
// hub's cache layout (HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE). Downloads
// resume, are checked against the length and checksum that the server states, and appear in the
// cache whole or not at all. Throws Error: offline and not cached, not found, not allowed,
// unreachable, damaged; each says what to do.
std::filesystem::path pull_model(const std::string& name, const PullOptions& options = {});

// The folder with the dataset, ready for --data-dir: downloaded, checked against its known
// checksum, unpacked.
std::filesystem::path pull_dataset(const std::string& name, const PullOptions& options = {});

}  // namespace nestvit
