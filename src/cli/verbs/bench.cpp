// nestvit bench: images per second of a model on this machine.
#include <fmt/format.h>
#include <nestvit/error.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <memory>

#include "base/log.h"
#include "base/random.h"
#include "base/system/processors.h"
#include "cli/model/fastest_type.h"
#include "cli/model/model_source.h"
#include "cli/program/exec.h"
#include "cli/program/options.h"
#include "cli/verbs/bench_gradients.h"
#include "cli/verbs/verbs.h"
#include "kernels/dispatch.h"
#include "model/architecture.h"
#include "model/params.h"
#include "runtime/measure/peak.h"
#include "runtime/packed/weights.h"
#include "weights/model_dir.h"

namespace nestvit::cli {
namespace {

struct BenchOptions {
  ModelSource model;
  std::string batches = "1,8", threads, dtypes = "f32", against;
  int rounds = 5;
  bool csv = false, profile = false, explain = false, gradients = false;
};

struct Case {
  int batch, threads;
  NumberType precision;
  std::shared_ptr<Engine> engine;
  double peak;                  // of such products on as many threads
  std::vector<float> images;    // [batch, channels, S, S]
  std::vector<double> seconds;  // of a run, by round

  double median() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

std::vector<int> numbers(const std::string& text, const std::string& flag) {
  std::vector<int> result;
  for (const char *at = text.data(), *end = at + text.size(); at <= end;) {
    int value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 1 || (next != end && *next != ','))
      throw UsageError(
          fmt::format("{} is \"{}\", expected whole numbers from 1, as 1,8,32", flag, text));
    result.push_back(value);
    at = next + 1;
  }
  return result;
}

// A path or remote model; or a variant's name, with random weights, which take as long.
LoadedModel model_of(const BenchOptions& options, const Invocation& invocation) {
  const std::string& name = options.model.name;
  if (options.model.is_place()) return options.model.load(invocation, Widening::kLater);
  LoadedModel model;
  const Architecture known = architecture(name);
  if (!known.nest())
    throw Error(fmt::format("{} is a baseline, which this engine does not run", name),
                "bench a NesT; nestvit inspect lists them");
  model.config = *known.nest();
  Fields settable;
  settable.add("nest", fields(model.config));
  for (const auto& [key, value] : invocation.overrides) settable.set(key, value);
  model.tensors = initial_tensors(model.config, 1);
  model.origin = name;
  return model;
}

// Times each case after an untimed run, in turns, so that all cases meet the same machine.
void measure(std::vector<Case>& cases, const NestConfig& config, int rounds) {
  Progress progress("bench", static_cast<int64_t>(cases.size()) * rounds);
  int64_t done = 0;
  for (Case& c : cases) {
    c.images.resize(static_cast<size_t>(c.batch) * config.in_channels * config.image_size *
                    config.image_size);
    Rng rng(1, Purpose::kTest);
    for (float& value : c.images) value = rng.normal();
  }
  for (int round = 0; round < rounds; ++round)
    for (Case& c : cases) {
      c.engine->run(c.images, c.batch);
      const auto start = std::chrono::steady_clock::now();
      c.engine->run(c.images, c.batch);
      c.seconds.push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      if (++done; progress.due()) progress.update(done, "");
    }
}

void print(const std::vector<Case>& cases, const LoadedModel& model, const BenchOptions& options) {
  const NestConfig& config = model.config;
  const double macs = static_cast<double>(multiply_accumulates(config));
  if (options.csv)
    fmt::print(
        "model,infer_samples_per_sec,infer_step_time,infer_batch_size,infer_img_size,infer_gmacs,"
        "param_count,dtype,threads,gops,peak_gops\n");
  for (const Case& c : cases) {
    const double speed = c.batch / c.median(), gflops = 2e-9 * macs * speed;
    const auto [fastest, slowest] = std::minmax_element(c.seconds.begin(), c.seconds.end());
    if (options.csv)
      fmt::print("{},{:.2f},{:.3f},{},{},{:.2f},{:.2f},{},{},{:.1f},{:.1f}\n", config.variant,
                 speed, c.median() * 1e3, c.batch, config.image_size, macs * 1e-9,
                 static_cast<double>(parameter_count(config)) * 1e-6, number_type_name(c.precision),
                 c.threads, gflops, c.peak);
    else
      fmt::print(
          "{} {:4} threads {} batch {:>2}: {:7.2f} images/s ({:.2f} to {:.2f}), {:.1f} Gop/s, "
          "{:.0f} % of the {} peak of {:.1f}\n",
          config.variant, number_type_name(c.precision), c.threads, c.batch, speed,
          c.batch / *slowest, c.batch / *fastest, gflops, 100 * gflops / c.peak,
          number_type_name(c.precision), c.peak);
  }
}

// Milliseconds of one part: the threads' sum, shared among them, since they work side by side.
void print_part(const Case& c, const std::string& level, const std::string& name, double seconds,
                double whole, double macs) {
  fmt::print("  {:8} {:16} {:8.2f} ms {:3.0f} %", level, name, seconds * 1e3,
             100 * seconds / whole);
  const double gflops = 2e-9 * macs * c.batch / seconds;
  if (macs > 0)
    fmt::print(" {:8.1f} Gop/s, {:3.0f} % of the {} peak", gflops, 100 * gflops / c.peak,
               number_type_name(c.precision));
  fmt::print("\n");
}

struct Profiled {
  Profile profile;
  double seconds;  // of all runs
};

Profiled profiled(const Case& c, int rounds) {
  const auto start = std::chrono::steady_clock::now();
  Profile profile = c.engine->profile(c.images, c.batch, rounds);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return {std::move(profile), took.count()};
}

void print_profile(const Case& c, const Profiled& p, const NestConfig& config, int rounds) {
  const double whole = p.seconds / rounds;
  fmt::print("\n{} {} threads {} batch {}: {:.2f} ms\n", config.variant,
             number_type_name(c.precision), c.threads, c.batch, whole * 1e3);
  double rest = whole;
  for (const Level& level : geometry(config))
    for (int i = 0; i < kParts; ++i) {
      const Part part = static_cast<Part>(i);
      const double seconds = p.profile.seconds(level.index, part) / c.threads / rounds;
      if (seconds == 0) continue;
      rest -= seconds;
      print_part(c, fmt::format("level {}", level.index), part_name(part), seconds, whole,
                 static_cast<double>(multiply_accumulates(config, level, part)));
    }
  print_part(c, "", "waiting, rest", rest, whole, 0);
}

std::vector<NumberType> precisions(const std::string& text) {
  std::vector<NumberType> all;
  for (const std::string_view name : CLI::detail::split(text, ',')) {
    const auto precision = number_type_named(name);
    if (!precision)
      throw UsageError(fmt::format("--dtype has \"{}\", expected {} or several, as f32,int8", name,
                                   fmt::join(number_type_names(), ", ")));
    all.push_back(*precision);
  }
  return all;
}

// Prints the implementations of each product and convolution, with the reason.
void explain(const LoadedModel& model, const BenchOptions& options) {
  const int threads = options.threads.empty() ? 0 : numbers(options.threads, "--threads").front();
  const PackedModel packed = pack(model, NumberType::kF32);
  fmt::print(
      "f32       own products by {}\nbf16      own products by {}\nint8      own products by {}\n",
      kernels::inference_kernels().front()->name, kernels::bf16_kernels().front()->name,
      kernels::int8_kernels().front()->name);
  for (const PackedLevel& level : packed.levels)
    if (level.conv)
      fmt::print("level {}   f32 convolution {}\n", level.shape.index,
                 level.conv->rows_per_call() == 2
                     ? "by Winograd's F(2x2, 3x3): even size, channels in whole registers"
                     : "as a product of nine taps");
  const SpeedOfTypes speeds = speed_of_types(model, threads);
  for (const auto& [precision, speed] : speeds.speeds)
    fmt::print("auto      {:4} {:.2f} images/s{}\n", number_type_name(precision), speed,
               precision == speeds.fastest() ? ", chosen" : "");
  fmt::print("auto      {}{}\n", speeds.measured ? "measured now" : "measured before",
             speeds.kept.empty() ? "" : fmt::format(", kept in {}", speeds.kept.string()));
}

// Hands the same settings to the script that lets the peer take turns with this program.
void measure_against(const BenchOptions& options) {
  if (options.model.is_place() || options.csv || options.profile)
    throw UsageError("--against takes a model's name, and neither --csv nor --profile",
                     "for instance: nestvit bench --model nest_tiny --against onnxruntime");
  std::vector<std::string> arguments = {"--rounds", fmt::format("{}", options.rounds), "--models",
                                        options.model.name};
  const auto add = [&](const char* flag, const std::string& list) {
    arguments.emplace_back(flag);
    for (const std::string& word : CLI::detail::split(list, ',')) arguments.push_back(word);
  };
  add("--peers", options.against == "timm" ? "eager,compile" : options.against);
  add("--batches", options.batches);
  add("--dtypes", options.dtypes);
  if (!options.threads.empty()) add("--threads", options.threads);
  exec_infer_script(arguments);
}

int bench(const BenchOptions& options, const Invocation& invocation) {
  if (!options.against.empty()) measure_against(options);
  if (options.csv && options.profile)
    throw UsageError(
        "--profile and --csv exclude each other: a profile has no comma-separated lines",
        "leave one of them out");
  if (options.gradients && (options.csv || options.profile || options.dtypes != "f32"))
    throw UsageError("--gradients goes with neither --csv, --profile nor --dtype",
                     "gradients are f32");
  const LoadedModel model = model_of(options, invocation);
  if (options.explain) {
    explain(model, options);
    return 0;
  }
  const std::string available = fmt::format("{}", thread_count(0));
  const std::vector<int> threads_asked =
      numbers(options.threads.empty() ? available : options.threads, "--threads");
  if (options.gradients) {
    bench_gradients(model, {numbers(options.batches, "--batch"), threads_asked, options.rounds});
    return 0;
  }
  std::vector<Case> settings;  // peaks are measured before any engine's threads exist
  for (const NumberType precision : precisions(options.dtypes))
    for (const int threads : threads_asked)
      settings.push_back({1, threads, precision, {}, product_peak(threads, precision), {}, {}});
  std::vector<Case> cases;
  for (Case& setting : settings) {
    setting.engine = std::make_shared<Engine>(
        model, EngineOptions{.threads = setting.threads, .precision = setting.precision});
    setting.threads = setting.engine->threads();
    for (const int batch : numbers(options.batches, "--batch")) {
      cases.push_back(setting);
      cases.back().batch = batch;
    }
  }
  measure(cases, model.config, options.rounds);
  std::vector<Profiled> profiles;
  if (options.profile)
    for (const Case& c : cases) profiles.push_back(profiled(c, options.rounds));
  print(cases, model, options);
  for (size_t i = 0; i < profiles.size(); ++i)
    print_profile(cases[i], profiles[i], model.config, options.rounds);
  return 0;
}

}  // namespace

Verb bench_verb() {
  Verb verb;
  verb.name = "bench";
  verb.summary = "Measure how many images per second a model classifies on this machine.";
  verb.details = R"(
The forward pass alone, on made-up images: medians over rounds in which all settings take turns,
with the range in brackets, and the share of the speed that this machine's cores reach in matrix
products that stay in their caches. A variant's name is measured with random weights.
)";
  verb.examples = R"(
nestvit bench --model nest_tiny --profile
nestvit bench --model out/best --batch 1,8,32 --threads 1,2 --csv
)";
  verb.overrides = true;
  verb.declare = [](CLI::App& app, const Invocation& invocation) {
    auto options = std::make_shared<BenchOptions>();
    add_model_options(app, &options->model);
    add_text(app, "-b,--batch", &options->batches, "N,N", "Images per forward pass.");
    add_text(app, "--threads", &options->threads, "N,N",
             "Threads of the forward pass; left out: as many as this process may use.");
    add_number(app, "--rounds", &options->rounds, 1, "Timed runs of each setting.");
    add_text(app, "--dtype", &options->dtypes, "TYPE,TYPE",
             fmt::format("The number types that products round their operands to: {}.",
                         fmt::join(number_type_names(), ", ")));
    add_flag(
        app, "--profile", &options->profile,
        "Also where the time goes: each kind of work of each level, all layers of it together.");
    add_flag(app, "--gradients", &options->gradients,
             "Instead: how long the gradients for an explanation's tree take beside the forward, "
             "after a check of both.");
    add_flag(app, "--explain", &options->explain,
             "Instead: the implementation of each type here, that of the convolutions, and the "
             "type that --dtype auto takes.");
    add_choice(app, "--against", &options->against, {"onnxruntime", "openvino", "timm"},
               "Instead: in turns with that program on timm's model of the same name, by "
               "bench/infer/run.py of the source tree. Python, NESTVIT_PYTHON or python3, must "
               "have bench/requirements.txt.");
    add_flag(app, "--csv", &options->csv, "Comma-separated, with the column names of timm.");
    return [options, &invocation] { return bench(*options, invocation); };
  };
  return verb;
}

}  // namespace nestvit::cli
