// Declaring options alike in every verb, and reading a declaration back for help and completion.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/program/verb.h"
#include "data/dataset.h"
#include "data/evaluation_data.h"
#include "data/loader.h"

namespace nestvit::cli {

inline constexpr size_t kColumns = 88;  // of help texts

// Each declares one option ("-b,--batch-size") or positional ("IMAGE") on `app`. The help shows the
// value that stands in `value` as the default, unless it is empty or 0, which `help` then explains.

enum class Need { kOptional, kRequired };
// One of `names`; shown as "a|b|c".
void add_choice(CLI::App& app, const std::string& flags, std::string* value,
                const std::vector<std::string>& names, const std::string& help,
                Need need = Need::kOptional);
// A whole number of at least `least`.
void add_number(CLI::App& app, const std::string& flags, int* value, int least,
                const std::string& help);
void add_seed(CLI::App& app, const std::string& flags, int64_t* value, const std::string& help);
// A number in (low, high).
void add_real(CLI::App& app, const std::string& flags, double* value, double low, double high,
              const std::string& help);
// Any text; `kind` names it in the help. FILE, DIR and MODEL complete to paths.
void add_text(CLI::App& app, const std::string& flags, std::string* value, const std::string& kind,
              const std::string& help, Need need = Need::kOptional);
// The place of a result. One that cannot be written is an Error as the command line is read, before
// any work.
void add_output_file(CLI::App& app, const std::string& flags, std::string* value,
                     const std::string& help, Need need = Need::kOptional);
void add_output_folder(CLI::App& app, const std::string& flags, std::string* value,
                       const std::string& help, Need need = Need::kOptional);
void add_texts(CLI::App& app, const std::string& flags, std::vector<std::string>* values,
               const std::string& kind, const std::string& help, Need need = Need::kOptional);
void add_flag(CLI::App& app, const std::string& flags, bool* value, const std::string& help);

// The names of all number types but those that `left_out` holds, in the order of kNumberTypes.
std::vector<std::string> number_type_names(const std::vector<NumberType>& left_out = {});

// --dtype TYPE, "auto" among the types.
void add_dtype_option(CLI::App& app, std::string* dtype);
ForwardOptions forward_options(int threads, const std::string& dtype);

// --threads, --dtype, --workers, --batch-size, --on-bad-image: how images are decoded and run.
struct RunOptions {
  int batch_size = 32;
  int threads = 0;
  std::string dtype = "f32";
  int workers = 0;
  std::string on_bad_image = "error";

  LoaderOptions loader() const;
  ForwardOptions forward() const { return forward_options(threads, dtype); }
};
void add_run_options(CLI::App& app, RunOptions* options);
void add_loading_options(CLI::App& app, RunOptions* options);  // without --dtype

// --data-dir, --dataset, --split, --labels, --class-map, --class-order, --val-share, --seed,
// --limit.
struct DataOptions {
  std::string data_dir, dataset, labels, class_map, class_order = "natural";
  SplitRequest request;
  int limit = 0;

  bool named() const { return !data_dir.empty() || !dataset.empty(); }
  std::string text() const { return data_dir.empty() ? dataset : data_dir; }  // for people
  DatasetOptions dataset_options() const;
  // The indices to go through: all in order, or `limit` of them drawn by the seed.
  std::vector<int64_t> order(const Dataset& data) const;
};
void add_data_options(CLI::App& app, DataOptions* options, Need data_dir);

// --engine core|torch. use_engine() hands over to the sibling program when `engine` is not the
// name of `own`.
void add_engine_option(CLI::App& app, std::string* engine, const ForwardEngine& own);
void use_engine(const std::string& engine, const ForwardEngine& own, const Invocation& invocation);

// A declared option, as help and completion show it.
struct OptionText {
  std::vector<std::string> names;  // "-b", "--batch-size"; a positional: its one name
  std::string value;               // "N", "FILE", "a|b|c"; empty for a flag
  std::string help;
  std::string fallback;  // the default, "" when there is none to show
  bool positional = false, required = false, repeated = false;

  std::vector<std::string> choices() const;  // of "a|b|c"; empty when it is not a choice
};
std::vector<OptionText> describe(const CLI::App& app);

std::string verb_help(const Program& program, const Verb& verb,
                      const std::vector<OptionText>& options);
std::string program_help(const Program& program);

// The script that completes `program`'s verbs and options. `options`: one list per verb, in order.
std::string completion_script(const std::string& shell, const Program& program,
                              const std::vector<std::vector<OptionText>>& options);

}  // namespace nestvit::cli
