// nestvit train: processes, signals, the run and its last line.
#include "cli/verbs/train/train.h"

#include <fmt/format.h>
#include <nestvit/error.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/log.h"
#include "base/system/place.h"
#include "base/system/processors.h"
#include "cli/verbs/train/spawn.h"
#include "run/record/checkpoint.h"
#include "run/start_print.h"
#include "train/device/out_of_memory.h"
#include "train/eval_only.h"
#include "train/group/group.h"
#include "train/trainer.h"

namespace nestvit::cli {
namespace {

// ---- signals ----

volatile std::sig_atomic_t stop_signal = 0;

extern "C" void on_stop_signal(int signal) {
  // A second Ctrl-C exits at once. Schedulers repeat their signals and mean nothing by it.
  if (stop_signal != 0 && signal == SIGINT) _exit(128 + signal);
  if (stop_signal == 0) stop_signal = signal;
}

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  // Clusters send SIGUSR1 some time before a job reaches its limit.
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
  // A connection that breaks, a terminal that is closed; under nohup it stays ignored.
  struct sigaction before {};
  if (sigaction(SIGHUP, nullptr, &before) == 0 && before.sa_handler != SIG_IGN)
    sigaction(SIGHUP, &action, nullptr);
  // The reader of the messages may go first, as tee does when the connection breaks.
  std::signal(SIGPIPE, SIG_IGN);
  // Exceeding a file size limit then fails the write, whose error names the file.
  std::signal(SIGXFSZ, SIG_IGN);
}

// ---- the run ----

int stopped_by(int signal, const std::string& what) {
  log_info(what);
  return 128 + signal;
}

// The processes that share the processors this one may use: a launcher that binds has divided them.
int sharers(const Launch& launch) { return launch.bound ? 1 : launch.local_size; }

// The device is not part of the run: without the flag it would resume on the CPU.
std::string resume_command(const std::string& workdir, const std::string& device) {
  return fmt::format("nestvit train --resume {}{}", workdir,
                     device == "cpu" ? "" : " --device " + device);
}

// On the CPU two are enough for small images, and more would take cores from the training. Beside a
// GPU they are all that computes here, and OMP_NUM_THREADS is not about them.
int default_workers(const std::string& device, const Launch& launch) {
  return device == "cpu" ? std::min(thread_count(0, sharers(launch)), 2)
                         : std::max(1, available_processors() / sharers(launch));
}

// "cuda" gives each process of a machine a GPU of its own.
std::string own_device(const std::string& device, const Launch& launch) {
  if (device != "cuda" || launch.size == 1) return device;
  return fmt::format("cuda:{}", launch.local_rank);
}

train::TrainOptions train_options(const TrainArguments& arguments, const RunRequest& request,
                                  const RunSetup& setup, const Launch& launch) {
  train::TrainOptions options;
  options.resume = !request.resume.empty();
  options.workdir = options.resume ? request.resume : new_workdir(arguments, setup.recipe);
  options.weights = setup.weights ? &*setup.weights : nullptr;
  options.workers =
      arguments.workers > 0 ? arguments.workers : default_workers(arguments.device, launch);
  options.threads = thread_count(arguments.threads, sharers(launch));
  const int share = std::max(1, available_processors() / sharers(launch));
  if (arguments.threads == 0 && options.threads < share)
    log_info(fmt::format("threads        {}, as OMP_NUM_THREADS says; {} could be used",
                         options.threads, share));
  options.device = own_device(arguments.device, launch);
  options.cuda_graph = arguments.cuda_graph;
  options.stop = [] { return static_cast<int>(stop_signal); };
  return options;
}

// Before the work that its data and weights may be. A folder that is named by the recipe and the
// time comes below output/train.
void check_workdir(const TrainArguments& arguments, const RunRequest& request) {
  if (!request.resume.empty()) return check_folder_place(request.resume);
  const std::filesystem::path workdir = new_workdir(arguments, Recipe());
  refuse_used(workdir);
  check_folder_place(workdir);
}

int run_in_group(const TrainArguments& arguments, const Invocation& invocation,
                 const Launch& launch, const train::Group& group) {
  const RunRequest request = request_of(arguments, invocation, launch);
  if (group.is_root()) check_workdir(arguments, request);
  const RunSetup setup = set_up(request, fetch_network);
  print_setup(setup);
  if (group.world_size() > 1)
    log_info(fmt::format("processes      {}, {} on this machine", group.world_size(),
                         launch.local_size));
  train::TrainOptions options = train_options(arguments, request, setup, launch);
  options.group = &group;
  if (setup.recipe.eval_only) {
    int signal = 0;
    train::explain_out_of_memory(
        [&] { signal = train::evaluate_only(setup.recipe, *setup.val, options); });
    return signal == 0 ? 0 : stopped_by(signal, "stopped: nothing was written");
  }
  train::TrainResult result;
  train::explain_out_of_memory(
      [&] { result = train::train(setup.recipe, *setup.train, *setup.val, options); });
  const std::string workdir = options.workdir.string();
  if (result.signal != 0)
    return stopped_by(result.signal,
                      fmt::format("stopped after step {}; to go on: {}", human_count(result.step),
                                  resume_command(workdir, arguments.device)));
  if (result.best_top1)
    log_info(fmt::format("best top-1 {:.2f} %; the model: {}", *result.best_top1,
                         (options.workdir / "best").string()));
  return 0;
}

train::GroupOptions options_of_group(const TrainArguments& arguments) {
  train::GroupOptions options;
  options.timeout = std::chrono::seconds(arguments.dist_timeout);
  options.heartbeat_timeout = std::min(options.heartbeat_timeout, options.timeout);
  options.backend = train::backend_named(arguments.dist_backend);
  return options;
}

}  // namespace

int run_training(const TrainArguments& arguments, const Invocation& invocation) {
  const Launch launch = read_launch();
  const train::GroupOptions group_options = options_of_group(arguments);
  catch_signals();
  if (arguments.nproc > 1 && launch.size > 1)
    throw UsageError(
        fmt::format("--nproc {} inside a job of {} processes", arguments.nproc, launch.size),
        "the launcher has started the processes: leave --nproc out");
  if (arguments.nproc > 1) return spawn(arguments.nproc, invocation, stop_signal);
  train::Group group(launch, group_options);
  if (!group.is_root()) log_nothing();
  try {
    const int code = run_in_group(arguments, invocation, launch, group);
    group.finish();
    return code;
  } catch (const UsageError& error) {
    if (!group.report_failure(error.what())) return 2;
    throw;
  } catch (const std::exception& error) {
    if (!group.report_failure(error.what())) return 1;
    throw;
  }
}

}  // namespace nestvit::cli
