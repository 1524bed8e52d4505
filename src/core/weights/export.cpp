// One writer per form, and the properties that a form cannot express.
#include "weights/export.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nestvit/error.h>

#include <algorithm>

#include "base/fields.h"
#include "base/file.h"
#include "base/system/place.h"
#include "weights/config_json.h"
#include "weights/flax/checkpoint.h"
#include "weights/flax/names.h"
#include "weights/safetensors.h"
#include "weights/torch/reader.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

const char* timm_name_of(Norm norm) {
  return norm == Norm::kBatch ? "batch norm" : norm == Norm::kGroup ? "group norm" : "layer norm";
}

std::vector<std::string> lost_in_timm(const LoadedModel& model) {
  const NestConfig& config = model.config;
  if (config.attn_type == Attention::kMultiQuery)
    throw Error("timm has no multi-query attention, which this model has",
                "use --to nestvit, flax, pth or safetensors");
  if (config.norm_type != Norm::kLayer)
    throw Error(fmt::format("timm's NesT has layer norms only, this model has {}s",
                            timm_name_of(config.norm_type)),
                "use --to nestvit, flax, pth or safetensors");
  std::vector<std::string> lost;
  if (config.gelu == Gelu::kTanh)
    lost.push_back(
        "timm computes GELU with erf, this model was trained with tanh: logits differ by about "
        "1e-3");
  if (model.preprocessing.resampler == Resampler::kTf)
    lost.push_back(
        "timm resizes images with Pillow, this model was evaluated with TensorFlow's resize");
  if (!timm_knows_sizes(config))
    lost.push_back(
        "timm's named models have fixed widths, heads and depths: build "
        "timm.models.nest.Nest(**model_args of config.json) and load model.safetensors into it");
  return lost;
}

std::vector<std::string> lost_in_flax(const LoadedModel& model) {
  const NestConfig& config = model.config;
  if (!config.embed_dims.empty() || !config.level_heads.empty())
    throw Error(
        "the official code grows widths and heads by one factor per level; this model lists them "
        "freely",
        "use --to nestvit, timm, pth or safetensors");
  if (config.pool_padding == PoolPadding::kSymmetric)
    throw Error(
        "the official code pads the max-pool as SAME, this model symmetrically: its answers would "
        "be others",
        "use --to nestvit, timm, pth or safetensors");
  std::vector<std::string> lost;
  if (config.gelu == Gelu::kErf)
    lost.push_back(
        "the official code computes GELU with tanh, this model was trained with erf: logits differ "
        "by about 1e-3");
  if (model.preprocessing.resampler == Resampler::kPil)
    lost.push_back(
        "the official code resizes images with TensorFlow, this model was evaluated with Pillow's "
        "resize");
  lost.push_back(
      "a checkpoint holds no labels and no configuration: the recipe must name the model");
  return lost;
}

void write_flax(const LoadedModel& model, const fs::path& path) {
  TensorMap batch_stats;
  const TensorMap params = to_flax(model.tensors, model.config, &batch_stats);
  write_flax_checkpoint(path, params, batch_stats);
}

}  // namespace

const std::vector<std::string>& export_format_names() {
  static const std::vector<std::string> names = {"nestvit", "timm", "flax", "pth", "safetensors"};
  return names;
}

ExportFormat export_format(const std::string& name) {
  const auto& names = export_format_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    throw UsageError(fmt::format("unknown format \"{}\"", name),
                     fmt::format("one of {}", fmt::join(names, ", ")));
  return static_cast<ExportFormat>(found - names.begin());
}

std::vector<std::string> lost_in(ExportFormat format, const LoadedModel& model) {
  switch (format) {
    case ExportFormat::kTimm:
      return lost_in_timm(model);
    case ExportFormat::kFlax:
      return lost_in_flax(model);
    default:
      return {};
  }
}

void check_place(const fs::path& path, bool overwrite) {
  std::error_code ignored;
  if (overwrite || place_of(path).stream) return;
  if (fs::exists(path, ignored) && !fs::is_empty(path, ignored))
    throw Error(fmt::format("{} is there already", path.string()),
                "name another place, or give --overwrite");
}

void check_export_place(ExportFormat format, const fs::path& path, bool overwrite) {
  check_place(path, overwrite);
  if (format == ExportFormat::kPth || format == ExportFormat::kSafetensors)
    check_file_place(path);
  else
    check_folder_place(path);
}

void export_model(const LoadedModel& model, ExportFormat format, const fs::path& path,
                  bool overwrite) {
  lost_in(format, model);
  verify_tensors(model.tensors, model.config, model.origin);
  check_export_place(format, path, overwrite);
  switch (format) {
    case ExportFormat::kNestvit:
    case ExportFormat::kTimm:
      return save_model(path, model);
    case ExportFormat::kFlax:
      return write_flax(model, path);
    case ExportFormat::kPth:
      return write_torch(
          path, model.tensors,
          {{"arch", timm_architecture(model.config)}, {kConfigKey, config_text(model)}});
    case ExportFormat::kSafetensors:
      return write_safetensors(path, model.tensors, {{kConfigKey, config_text(model)}});
  }
}

}  // namespace nestvit
