// Finds the source of a name, and puts the result in its place.
#include "hub/hub.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include "base/fields.h"
#include "hub/cache.h"
#include "hub/part_file.h"
#include "hub/sources/datasets.h"
#include "hub/sources/gcs.h"
#include "hub/sources/hf.h"
#include "hub/sources/url.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

// Kinds of names, and who fetches them.
struct Source {
  const char* scheme;
  fs::path (*pull)(const std::string& name, const Transport& transport);
};
constexpr Source kSources[] = {{"hf://", pull_from_hf},
                               {"gs://", pull_from_gcs},
                               {"http://", pull_from_url},
                               {"https://", pull_from_url}};

const Source* find_source(const std::string& name) {
  for (const Source& source : kSources)
    if (name.starts_with(source.scheme)) return &source;
  return nullptr;
}

// Copies, so that editing the result does not change the cache. Leaves a whole file or none.
void copy_whole(const fs::path& from, const fs::path& to) {
  const fs::path beside = to.parent_path() / ("." + to.filename().string() + ".copy");
  std::error_code error, ignored;
  fs::copy_file(from, beside, fs::copy_options::overwrite_existing, error);
  if (!error) fs::rename(beside, to, error);
  if (!error) return;
  fs::remove(beside, ignored);
  throw Error(fmt::format("cannot copy {} to {}: {}", from.string(), to.string(), error.message()),
              "check space and permissions there");
}

fs::path place(const fs::path& cached, const fs::path& target) {
  if (target.empty()) return cached;
  make_folder(target);
  if (!fs::is_directory(cached)) {
    copy_whole(cached, target / cached.filename());
    return target / cached.filename();
  }
  for (const auto& entry : fs::directory_iterator(cached))
    if (entry.is_regular_file() && entry.path().extension() != ".incomplete")
      copy_whole(entry.path(), target / entry.path().filename());
  return target;
}

}  // namespace

bool is_remote(const std::string& name) { return find_source(name) != nullptr; }

const std::vector<std::string>& known_datasets() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const DatasetSource& source : dataset_sources()) list.push_back(source.name);
    return list;
  }();
  return names;
}

fs::path pull_model(const std::string& name, const PullOptions& options) {
  const Source* source = find_source(name);
  if (!source)
    throw UsageError(fmt::format("\"{}\" is not the address of a model", name),
                     "write hf://OWNER/NAME, gs://BUCKET/PATH or https://HOST/FILE");
  return place(source->pull(name, {options.progress, {}}), options.target);
}

fs::path pull_dataset(const std::string& name, const PullOptions& options) {
  for (const DatasetSource& source : dataset_sources()) {
    if (source.name != name) continue;
    const fs::path folder =
        options.target.empty() ? nestvit_cache() / "datasets" / name : options.target;
    fetch_dataset(source, folder, {options.progress, {}});
    return folder;
  }
  const std::string close = nearest(name, known_datasets());
  throw UsageError(fmt::format("unknown dataset \"{}\"", name),
                   close.empty()
                       ? fmt::format("the datasets are: {}", fmt::join(known_datasets(), ", "))
                       : fmt::format("did you mean \"{}\"?", close));
}

}  // namespace nestvit
