// The datasets of the recipes: their addresses and checksums, and how they become a folder for
// --data-dir.
#include "hub/sources/datasets.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/system/environment.h"
#include "hub/part_file.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMirror = "NESTVIT_DATASET_MIRROR";
constexpr ArchiveLimits kCifar = {uint64_t{256} << 20, 32};
// 13394 images and their folders.
constexpr ArchiveLimits kImagenette = {uint64_t{1} << 30, 20000};

DatasetFile idx(const std::string& name, const std::string& md5, uint64_t size, uint64_t unpacked) {
  return {name + ".gz", md5, size, name, unpacked};
}

bool is_complete(const DatasetSource& source, const fs::path& folder) {
  std::error_code ignored;
  return std::all_of(source.holds.begin(), source.holds.end(),
                     [&](const std::string& name) { return fs::exists(folder / name, ignored); });
}

// The addresses of one file, in the order to try.
std::vector<std::string> addresses(const DatasetSource& source, const DatasetFile& file) {
  std::string mirror = environment_variable(kMirror).value_or("");
  while (mirror.ends_with('/')) mirror.pop_back();
  if (!mirror.empty()) return {fmt::format("{}/{}/{}", mirror, source.name, file.name)};
  std::vector<std::string> urls;
  for (const std::string& address : source.addresses) urls.push_back(address + file.name);
  return urls;
}

void fetch_from_any(const DatasetSource& source, const DatasetFile& file,
                    const Transport& transport, const fs::path& target) {
  const std::vector<std::string> urls = addresses(source, file);
  for (size_t i = 0; i < urls.size(); ++i) {
    Download download;
    download.url = urls[i];
    download.label = file.name;
    if (file.size > 0) download.size = file.size;
    download.checksums = {{DigestKind::kMd5, file.md5}};
    download.fixed = true;  // whatever its address, the checksum says what it is
    try {
      return fetch_file(download, transport, target);
    } catch (const HttpError& error) {
      if (i + 1 == urls.size())
        throw HttpError(error.what(),
                        fmt::format("{}; {} names another place that has {}/{}", error.hint(),
                                    kMirror, source.name, file.name),
                        error.response());
      log_warning(fmt::format("{}; trying {}", error.what(), http_shown(urls[i + 1])));
    }
  }
}

void unpack(const DatasetSource& source, const fs::path& downloads, const fs::path& folder) {
  const DatasetFile& first = source.files.front();
  if (first.unpacks.empty()) {
    unpack_tar_gz(downloads / first.name, folder, source.limits);
    return;
  }
  write_directory(folder, [&](const fs::path& temporary) {
    for (const DatasetFile& file : source.files)
      unpack_gz(downloads / file.name, temporary / file.unpacks, file.unpacked);
  });
}

}  // namespace

const std::vector<DatasetSource>& dataset_sources() {
  static const std::vector<DatasetSource> sources = {
      {"fashion-mnist",
       {"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"},
       {idx("train-images-idx3-ubyte", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26421880, 47040016),
        idx("train-labels-idx1-ubyte", "25c81989df183df01b3e8a0aad5dffbe", 29515, 60008),
        idx("t10k-images-idx3-ubyte", "bef4ecab320f06d8554ea6380940ec79", 4422102, 7840016),
        idx("t10k-labels-idx1-ubyte", "bb300cfdad3c16e7a12a480ee83cd310", 5148, 10008)},
       {"train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte"},
       {}},
      {"cifar10",
       {"https://www.cs.toronto.edu/~kriz/"},
       {{"cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 170052171, "", 0}},
       {"data_batch_1.bin", "data_batch_5.bin", "test_batch.bin", "batches.meta.txt"},
       kCifar},
      {"cifar100",
       {"https://www.cs.toronto.edu/~kriz/"},
       {{"cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", 0, "", 0}},
       {"train.bin", "test.bin", "fine_label_names.txt"},
       kCifar},
      {"imagenette",
       {"https://s3.amazonaws.com/fast-ai-imageclas/"},
       {{"imagenette2-320.tgz", "3df6f0d01a2c9592104656642f5e78a3", 0, "", 0}},
       {"train", "val"},
       kImagenette}};
  return sources;
}

void fetch_dataset(const DatasetSource& source, const fs::path& folder,
                   const Transport& transport) {
  if (is_complete(source, folder)) return;
  // Downloads lie in a hidden folder beside it, on its file system, and survive an interruption.
  const fs::path place = fs::absolute(folder).lexically_normal();
  const std::string name = (place.has_filename() ? place : place.parent_path()).filename().string();
  const fs::path parent = (place.has_filename() ? place : place.parent_path()).parent_path();
  std::error_code ignored;
  if (fs::exists(folder, ignored) && !fs::is_empty(folder, ignored))
    throw Error(
        fmt::format("{} is there already, and is not a complete {}", folder.string(), source.name),
        "name a new folder, or remove this one");
  const fs::path downloads = parent / ("." + name + ".download");
  const FileLock lock(downloads / ".lock");
  if (!is_complete(source, folder)) {  // another process may have been faster
    for (const DatasetFile& file : source.files)
      fetch_from_any(source, file, transport, downloads / file.name);
    if (transport.progress) log_info(fmt::format("unpacking into {}", folder.string()));
    unpack(source, downloads, folder);
    if (!is_complete(source, folder)) {
      fs::remove_all(folder, ignored);
      throw Error(fmt::format("{} is not what it should be: it has no {}", folder.string(),
                              fmt::join(source.holds, " or no ")));
    }
  }
  fs::remove_all(downloads, ignored);
}

}  // namespace nestvit
