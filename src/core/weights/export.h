// A model in the form that another program reads. The inverse of import.h; tensors go through every
// form bit for bit.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "weights/model_dir.h"

namespace nestvit {

enum class ExportFormat {
  kNestvit,  // our model directory
  kTimm,     // the same files, checked to be something that timm can say
  kFlax,     // an official checkpoint folder: checkpoint, ckpt-1.flax
  kPth,      // one file of torch.save: {"state_dict": timm's names, "arch": ..., our description}
  kSafetensors,  // one file; config.json's text stands in its metadata
};

const std::vector<std::string>& export_format_names();  // "nestvit", "timm", ...
ExportFormat export_format(const std::string& name);    // throws UsageError

// What the other side will do differently from this model, one sentence each; empty: nothing.
// Throws Error for what the format has no word for and would change the answers for good
// (multi-query attention in timm).
std::vector<std::string> lost_in(ExportFormat format, const LoadedModel& model);

// Throws Error when something is at `path` already, unless `overwrite`.
void check_place(const std::filesystem::path& path, bool overwrite);

// Writes beside `path` and renames; checks with lost_in and check_place first.
void export_model(const LoadedModel& model, ExportFormat format, const std::filesystem::path& path,
                  bool overwrite = false);

}  // namespace nestvit
