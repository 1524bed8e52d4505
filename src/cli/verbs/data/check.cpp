// The options, the table that people read, and the files that programs read.
#include "cli/verbs/data/check.h"

#include <fmt/format.h>
#include <nestvit/error.h>

#include <memory>

#include "base/file.h"
#include "base/log.h"
#include "data/check/check.h"
#include "report/results.h"

namespace nestvit::cli {
namespace {

constexpr int kExamples = 10;  // shown per kind of finding; the files hold all

// File and class names may hold anything; a terminal must not obey it.
std::string harmless(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  return text;
}

CheckOptions check_options(const DataCheckOptions& options) {
  if (!options.dir.empty() && !options.data.data_dir.empty() &&
      options.dir != options.data.data_dir)
    throw UsageError(
        fmt::format("two data folders: {} and --data-dir {}", options.dir, options.data.data_dir),
        "give one of them");
  CheckOptions check;
  check.data.root = options.dir.empty() ? options.data.data_dir : options.dir;
  check.data.name = options.data.dataset;
  check.data.labels_file = options.data.labels;
  check.data.class_map = options.data.class_map;
  check.data.class_order =
      options.data.class_order == "plain" ? ClassOrder::kPlain : ClassOrder::kNatural;
  check.data.val_share = options.val_share;
  check.data.seed = static_cast<uint64_t>(options.seed);
  check.threads = options.threads;
  check.min_side = options.min_side;
  return check;
}

std::string parts_text(const CheckResult& result) {
  std::string text;
  for (const CheckedPart& part : result.parts)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", part.name, human_count(part.images));
  return text + (result.undivided ? " (no val/: --val-share and --seed divide it)" : "");
}

std::string formats_text(const CheckResult& result) {
  std::string text;
  for (const auto& [format, count] : result.formats)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", human_count(count), format);
  return text.empty() ? "none decoded" : text;
}

void print_findings(const CheckResult& result, FindingKind kind) {
  const int64_t count = result.count(kind);
  if (count == 0) return;
  fmt::print("\n{}: {}{}\n", finding_title(kind), human_count(count),
             stops_training(kind) ? "  (training stops at these)" : "");
  int shown = 0;
  for (const Finding& finding : result.findings) {
    if (finding.kind != kind) continue;
    if (shown++ == kExamples) {
      fmt::print("  … and {} more; --json FILE or --csv FILE lists all\n",
                 human_count(count - kExamples));
      return;
    }
    std::string subject = finding.file;
    if (subject.empty()) {
      subject = finding.class_name;
      if (!finding.part.empty()) subject = finding.part + ": " + subject;
    }
    fmt::print("  {}{}{}\n", harmless(subject), subject.empty() ? "" : ": ",
               harmless(finding.detail));
  }
}

void print_result(const DataCheckOptions& options, const CheckResult& result) {
  const std::string root = options.dir.empty() ? options.data.text() : options.dir;
  fmt::print("data     {} ({}): {}\n", harmless(root), result.kind, parts_text(result));
  fmt::print("classes  {}\n", human_count(result.classes));
  fmt::print("images   {} of {} decoded: {}\n", human_count(result.decoded),
             human_count(result.images), formats_text(result));
  if (result.decoded > 0)
    fmt::print("sides    the shorter one {} to {} pixels, half of them at least {}\n",
               result.smallest_side, result.largest_side, result.median_side);
  const std::string read =
      result.bytes > 0
          ? fmt::format(", {:.0f} MB/s", static_cast<double>(result.bytes) / 1e6 / result.seconds)
          : "";
  fmt::print("speed    {:.0f} images/s{} ({:.1f} s)\n",
             static_cast<double>(result.images) / result.seconds, read, result.seconds);
  for (const std::string& text : result.not_read) fmt::print("note     {}\n", harmless(text));
  for (int k = 0; k < kFindingKinds; ++k) print_findings(result, static_cast<FindingKind>(k));
  if (result.findings.empty()) fmt::print("\nnothing wrong found\n");
}

void write_json(const std::string& path, const CheckResult& result) {
  Value::Members parts, counts, formats;
  for (const CheckedPart& part : result.parts) parts.emplace_back(part.name, part.images);
  for (const auto& [format, count] : result.formats) formats.emplace_back(format, count);
  Value::List findings, notes;
  for (const std::string& text : result.not_read) notes.push_back(text);
  for (int k = 0; k < kFindingKinds; ++k) {
    const auto kind = static_cast<FindingKind>(k);
    counts.emplace_back(finding_name(kind), result.count(kind));
  }
  for (const Finding& finding : result.findings)
    findings.push_back(Value::Members{{"kind", finding_name(finding.kind)},
                                      {"part", finding.part},
                                      {"class", finding.class_name},
                                      {"file", finding.file},
                                      {"detail", finding.detail}});
  const Value all = Value::Members{{"kind", result.kind},
                                   {"parts", parts},
                                   {"classes", result.classes},
                                   {"images", result.images},
                                   {"decoded", result.decoded},
                                   {"formats", formats},
                                   {"smallest_side", result.smallest_side},
                                   {"median_side", result.median_side},
                                   {"largest_side", result.largest_side},
                                   {"notes", notes},
                                   {"seconds", rounded(result.seconds, 3)},
                                   {"counts", counts},
                                   {"findings", findings}};
  write_file(path, to_json(all) + "\n");
}

void write_csv(const std::string& path, const CheckResult& result) {
  std::string text = csv_line({"kind", "part", "class", "file", "detail"});
  for (const Finding& finding : result.findings)
    text += csv_line({finding_name(finding.kind), finding.part, finding.class_name, finding.file,
                      finding.detail});
  write_file(path, text);
}

}  // namespace

const char* const kDataCheckDetails =
    "Reads and decodes every image of every part (train, val, and a folder's or list's test), in "
    "parallel. "
    "Finds: images that cannot be read, with the reason; formats that are refused (GIF, TIFF, "
    "animated WebP); pictures that are not read for their extension or place; folders that are not "
    "read or may be meant otherwise; the same picture (byte for "
    "byte, or pixel for pixel) in train and val, under two classes, or twice in one; JPEGs called "
    ".png and the like; images with a side below --min-side; sides of more than 8 to 1; classes "
    "without images, and those ten times smaller or larger than the median.\n\n"
    "Exit code 1 when training would refuse the data, or an image was found that would end a run "
    "(broken, or of a refused format), else 0, whatever else was found.";

const char* const kDataCheckExamples =
    "nestvit data check photos\n"
    "# all findings, for a script\n"
    "nestvit data check photos --csv findings.csv\n"
    "nestvit data check --data-dir /data/tfds --dataset tfds/cifar10";

void add_data_check_options(CLI::App& app, DataCheckOptions* options) {
  DataOptions& data = options->data;
  add_text(app, "DIR", &options->dir, "DIR",
           "The dataset: a folder of images with one folder per class, below train/ and val/ or "
           "without either, or any other that training reads.");
  add_text(app, "--data-dir", &data.data_dir, "DIR", "The same, as an option.");
  add_text(app, "--dataset", &data.dataset, "NAME",
           fmt::format("The form of the data: {}. Recognised from the files when left out.",
                       dataset_names_text()));
  add_text(app, "--labels", &data.labels, "FILE",
           "Labels of validation images that lie in one folder.");
  add_text(app, "--class-map", &data.class_map, "FILE", "Class names, one per line.");
  add_choice(app, "--class-order", &data.class_order, {"natural", "plain"},
             "Order of classes named by folders.");
  add_real(app, "--val-share", &options->val_share, 0, 1,
           "Share of each class that is \"val\" when a folder has no val/: copies of a picture "
           "that this puts into both parts are found. Give what training will be given.");
  add_seed(app, "--seed", &options->seed, "Of that split.");
  add_number(app, "-j,--workers", &options->threads, 0,
             "Threads that read and decode; 0: as many as this process may use.");
  add_number(app, "--min-side", &options->min_side, 1,
             "Images with a shorter side below this are listed as tiny.");
  add_output_file(app, "--json", &options->json, "Write counts and all findings there.");
  add_output_file(app, "--csv", &options->csv,
                  "Write all findings there: kind, part, class, file, detail.");
}

int data_check(const DataCheckOptions& options) {
  CheckOptions check = check_options(options);
  std::unique_ptr<Progress> bar;
  check.progress = [&](int64_t done, int64_t total) {
    if (!bar) bar = std::make_unique<Progress>("check", total);
    if (done == total)
      bar->finish();
    else
      bar->update(done, "");
  };
  const CheckResult result = check_dataset(check);
  print_result(options, result);
  if (!options.json.empty()) write_json(options.json, result);
  if (!options.csv.empty()) write_csv(options.csv, result);
  return result.stops_training() ? 1 : 0;
}

}  // namespace nestvit::cli
