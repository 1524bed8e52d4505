// Image files as a dataset.
#include "data/formats/file_dataset.h"

#include <nestvit/error.h>

#include "base/file.h"

namespace nestvit {

Sample FileDataset::get(int64_t index) const {
  // Larger than any photograph. A file beyond it would only exhaust memory in every worker at once.
  constexpr uint64_t kMaxEncoded = 512ull << 20;
  Sample sample;
  sample.name = name(index);
  sample.label = label(index);
  sample.encoded = read_file(sample.name, kMaxEncoded);
  if (sample.encoded.empty())
    throw Error(sample.name + ": the file is empty", "remove it, or copy it again");
  return sample;
}

FileDataset::Files select(const FileDataset::Files& files, const std::vector<int64_t>& part) {
  FileDataset::Files selected{files.base, files.paths.part(part), {}, files.classes};
  selected.not_read = files.not_read;
  selected.labels.reserve(part.size());
  for (int64_t i : part) selected.labels.push_back(files.labels[i]);
  return selected;
}

FileDataset::Files seeded_share(const FileDataset::Files& files, const DatasetOptions& options,
                                Split split) {
  const SplitItems items{files.paths.size(), [&](int64_t i) { return files.paths.at(i); },
                         [&](int64_t i) { return files.labels[i]; }};
  FileDataset::Files share = select(files, seeded_part(items, options, split));
  // Of a share of nothing for validation the rest is all there is.
  share.share = options.val_share > 0;
  return share;
}

}  // namespace nestvit
