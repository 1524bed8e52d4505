// Writing and reading the index of a folder of images.
#include "data/index/folder_index.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <algorithm>

#include "base/log.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

fs::path absolute_root(const DatasetOptions& options) {
  return fs::absolute(options.root).lexically_normal();
}

// All that the listing depends on, but for the folders.
std::string key_of(const DatasetOptions& options) {
  return fmt::format("image folder 3\n{}\nsplit {} order {} share {} seed {}\n{}",
                     absolute_root(options).string(), options.split,
                     static_cast<int>(options.class_order), options.val_share, options.seed,
                     options.class_map.empty() ? "" : read_text(options.class_map));
}

// The first folder that has changed.
std::optional<fs::path> changed(const fs::path& root, const FolderStamps& seen) {
  for (size_t i = 0; i < seen.folders.size(); ++i)
    if (const fs::path folder = seen.folders[i].empty() ? root : root / seen.folders[i];
        stamp_of(folder) != seen.stamps[i])
      return folder;
  return std::nullopt;
}

// Those that are expected come first.
void write_notes(IndexWriter& index, std::vector<NotRead> notes) {
  const auto others = std::stable_partition(notes.begin(), notes.end(),
                                            [](const NotRead& note) { return note.expected; });
  std::vector<std::string> texts;
  for (const NotRead& note : notes) texts.push_back(note.text);
  index.texts(texts);
  index.number(static_cast<uint64_t>(others - notes.begin()));
}

FileDataset::Files read_files(IndexReader& index, const fs::path& root) {
  FileDataset::Files files;
  const std::string base = index.text();
  files.base = base == "." ? root : root / base;
  files.classes = index.texts();
  files.share = index.number() != 0;
  files.labels = index.array<int>();
  files.paths = PathList::read(index);
  const std::vector<std::string> notes = index.texts();
  const auto expected = index.number();
  index.end();
  index.require(expected <= notes.size(), "more notes that are expected than notes");
  for (size_t i = 0; i < notes.size(); ++i) files.not_read.push_back({notes[i], i < expected});
  index.require(files.paths.size() == std::ssize(files.labels) && files.paths.size() > 0,
                "another number of labels than of images");
  const int classes = static_cast<int>(files.classes.size());
  index.require(std::all_of(files.labels.begin(), files.labels.end(),
                            [&](int label) { return label >= 0 && label < classes; }),
                "labels of no class");
  return files;
}

}  // namespace

void FolderStamps::add(const fs::path& root, const std::string& folder) {
  const auto stamp = stamp_of(folder.empty() ? root : root / folder);
  if (!stamp) return;
  folders.push_back(folder);
  stamps.push_back(*stamp);
}

std::unique_ptr<Dataset> open_folder_index(const DatasetOptions& options) {
  if (options.index.empty()) return nullptr;
  try {
    auto index = IndexReader::open(options.index, key_of(options));
    if (!index) return nullptr;
    FolderStamps seen;
    seen.folders = index->texts();
    seen.stamps = index->array<Stamp>();
    index->require(seen.folders.size() == seen.stamps.size(), "folders without their times");
    if (const auto folder = changed(options.root, seen)) {
      log_info(fmt::format("{} has changed since {} was written: the images are listed anew",
                           folder->string(), options.index.string()));
      return nullptr;
    }
    return std::make_unique<FileDataset>("image folder", read_files(*index, options.root));
  } catch (const Error& error) {
    log_warning(fmt::format("{}: the images are listed anew", error.what()));
    return nullptr;
  }
}

FileDataset::SaveIndex folder_index_writer(const DatasetOptions& options, FolderStamps stamps) {
  if (!std::all_of(stamps.stamps.begin(), stamps.stamps.end(),
                   [&](const Stamp& stamp) { return settled(stamp, stamps.begun); }))
    return {};
  return [key = key_of(options), root = options.root, stamps = std::move(stamps)](
             const FileDataset::Files& files, const fs::path& file) {
    IndexWriter index(file, key);
    index.texts(stamps.folders);
    index.array(std::span(stamps.stamps));
    index.text(files.base.lexically_relative(root).string());
    index.texts(files.classes);
    index.number(files.share ? 1 : 0);
    index.array(std::span(files.labels));
    files.paths.write(index);
    write_notes(index, files.not_read);
    index.commit();
  };
}

}  // namespace nestvit
