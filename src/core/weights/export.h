// Writes a model in the form that another program reads: the inverse of import.h. Tensors keep
// every bit in every form.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "weights/model_dir.h"

namespace nestvit {

enum class ExportFormat {
  kNestvit,  // our model directory
  kTimm,     // the same files, checked to be a model that timm has
  kFlax,     // an official checkpoint folder: checkpoint, ckpt-1.flax
  kPth,      // one file of torch.save: {"state_dict": timm's names, "arch": ..., our description}
  kSafetensors,  // one file; config.json's text stands in its metadata
};

const std::vector<std::string>& export_format_names();  // "nestvit", "timm", ...
ExportFormat export_format(const std::string& name);    // throws UsageError

// The differences between this model and the other program's, one sentence each; empty: none.
// Throws Error for a property that the format cannot express and without which the answers would be
// wrong (multi-query attention in timm).
std::vector<std::string> lost_in(ExportFormat format, const LoadedModel& model);

// Throws Error when something is at `path` already, unless `overwrite`. Devices and pipes lose
// nothing.
void check_place(const std::filesystem::path& path, bool overwrite);
// The same, and Error when the file or folder of this form cannot be written there.
void check_export_place(ExportFormat format, const std::filesystem::path& path, bool overwrite);

// Writes beside `path` and renames; checks with lost_in and check_export_place first.
void export_model(const LoadedModel& model, ExportFormat format, const std::filesystem::path& path,
                  bool overwrite = false);

}  // namespace nestvit
