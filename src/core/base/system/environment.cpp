// The table of environment variables, and the only place that reads one.
#include "base/system/environment.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <span>

#include "base/check.h"
#include "base/text.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;

struct Variable {
  const char* name;
  const char* meaning;
};

struct Section {
  const char* title;
  std::span<const Variable> variables;
};

constexpr Variable kComputing[] = {
    {"NESTVIT_ISA",
     "the largest instruction set that kernels may use: plain, avx2, avx512, avx512_vnni or "
     "avx512_bf16. Unset: the largest that the processor has"},
    {"OMP_NUM_THREADS",
     "threads that compute or decode, where --threads and --workers are not given; the first "
     "number "
     "of a list counts. Unset: as many as affinity and cgroup quota allow"},
    {"NESTVIT_TORCH_LIB",
     "the folder of libtorch_cuda.so, for --device cuda: torch/lib of a PyTorch package of the "
     "same version. Unset: the dynamic linker looks for it"},
};

constexpr Variable kData[] = {
    {"TFDS_DATA_DIR",
     "where TFDS keeps its datasets (tfds/NAME, imagenet2012) when --data-dir is not given. Unset: "
     "~/tensorflow_datasets"},
    {"HOME", "the home folder, for ~ and for the caches"},
};

constexpr Variable kFetching[] = {
    {"HF_TOKEN", "the token for private and licensed models; it is never sent to another host"},
    {"HF_TOKEN_PATH", "a file with the token. Unset: $HF_HOME/token"},
    {"HF_ENDPOINT", "a mirror of the Hugging Face hub. Unset: https://huggingface.co"},
    {"HF_HOME",
     "the folder of the hub's cache and token. Unset: $XDG_CACHE_HOME/huggingface, else "
     "~/.cache/huggingface"},
    {"HF_HUB_CACHE", "the hub's cache itself. Unset: $HF_HOME/hub"},
    {"HUGGINGFACE_HUB_CACHE", "the older name of HF_HUB_CACHE, which wins"},
    {"HF_HUB_OFFLINE", "1, on, yes or true: hf:// names come from the cache alone"},
    {"XDG_CACHE_HOME", "the folder of caches; nestvit's own lies in nestvit/. Unset: ~/.cache"},
    {"STORAGE_EMULATOR_HOST", "another server for gs:// names, HOST:PORT or an address"},
    {"NESTVIT_DATASET_MIRROR",
     "an address below which the datasets' files lie as DATASET/FILE, instead of their own"},
    {"CURL_CA_BUNDLE", "a file with the certificates to trust; it wins over SSL_CERT_FILE"},
    {"SSL_CERT_FILE", "the same as CURL_CA_BUNDLE"},
};

constexpr Variable kTerminal[] = {
    {"NO_COLOR", "any value: messages have no colour"},
    {"CLICOLOR_FORCE", "any value but 0: messages have colour, also where no terminal shows them"},
};

constexpr Variable kPrograms[] = {
    {"PATH", "where nestvit looks for nestvit-train when it does not lie beside it"},
    {"NESTVIT_PYTHON",
     "the Python for bench --against and for the tests that compare with Python programs. Unset: "
     "python3"},
};

// In the order in which run/launch.cpp tries the launchers.
constexpr Variable kLaunchers[] = {
    {"RANK", "torchrun: the rank of this process, from 0"},
    {"WORLD_SIZE", "torchrun: number of processes"},
    {"LOCAL_RANK", "torchrun: the rank of this process on its machine"},
    {"LOCAL_WORLD_SIZE", "torchrun: number of processes on this machine"},
    {"TORCHELASTIC_USE_AGENT_STORE", "torchrun: True when the launcher itself holds the store"},
    {"TORCHELASTIC_RESTART_COUNT", "torchrun: how often it has started the job again"},
    {"PMI_RANK", "MPICH, Intel MPI: as RANK"},
    {"PMI_SIZE", "MPICH, Intel MPI: as WORLD_SIZE"},
    {"MPI_LOCALRANKID", "MPICH, Intel MPI: as LOCAL_RANK"},
    {"MPI_LOCALNRANKS", "MPICH, Intel MPI: as LOCAL_WORLD_SIZE"},
    {"SLURM_PROCID", "srun: as RANK"},
    {"SLURM_STEP_NUM_TASKS", "srun: as WORLD_SIZE"},
    {"SLURM_LOCALID", "srun: as LOCAL_RANK"},
    {"SLURM_STEP_TASKS_PER_NODE", "srun: processes on each machine of the step"},
    {"SLURM_STEP_NODELIST", "srun: the machines; the first one is where processes meet"},
    {"SLURM_JOB_ID", "srun: gives each job of a machine a port of its own"},
    {"SLURM_RESTART_COUNT", "Slurm: how often it has started the job again"},
    {"OMPI_COMM_WORLD_RANK", "Open MPI: as RANK"},
    {"OMPI_COMM_WORLD_SIZE", "Open MPI: as WORLD_SIZE"},
    {"OMPI_COMM_WORLD_LOCAL_RANK", "Open MPI: as LOCAL_RANK"},
    {"OMPI_COMM_WORLD_LOCAL_SIZE", "Open MPI: as LOCAL_WORLD_SIZE"},
    {"MASTER_ADDR", "the machine where the processes meet"},
    {"MASTER_PORT", "the port there. Unset: 29500, or by SLURM_JOB_ID under srun"},
    {"GLOO_SOCKET_IFNAME",
     "the network interface that carries gradients between CPUs. Unset: the one that leads to "
     "MASTER_ADDR"},
};

// Read by libraries, which is why environment_variable() is never asked for them.
constexpr Variable kLibraries[] = {
    {"OMP_THREAD_LIMIT", "OpenMP: the most threads, whatever --threads asks for"},
    {"OMP_WAIT_POLICY", "OpenMP: passive lets waiting threads sleep, active lets them spin"},
    {"http_proxy", "curl: the proxy for http:// addresses"},
    {"https_proxy", "curl: the proxy for https:// addresses"},
    {"all_proxy", "curl: the proxy for both"},
    {"no_proxy", "curl: the hosts that are reached without a proxy"},
    {"CUDA_VISIBLE_DEVICES", "CUDA: the GPUs that a process sees"},
    {"TORCH_CPP_LOG_LEVEL",
     "libtorch: how much it writes. Unset: ERROR in training with several processes"},
    {"LD_LIBRARY_PATH", "the dynamic linker: more folders of libraries"},
};

constexpr Variable kScripts[] = {
    {"NESTVIT_TRAIN", "the program to start. Unset: nestvit-train"},
    {"NPROC", "processes; by torchrun on each machine"},
    {"CORES", "mpirun: processors of each process"},
    {"HOSTFILE", "mpirun: a file with the machines"},
    {"NODES", "torchrun: number of machines"},
    {"NODE_RANK", "torchrun: number of this machine"},
    {"MAX_RESTARTS", "torchrun: how often a failed job is started again"},
    {"SLURM_CPUS_PER_TASK", "sbatch: processors of each process"},
};

constexpr Variable kTests[] = {
    {"NESTVIT_GOLDENS", "the folder of golden cases. Unset: tests/golden"},
    {"NESTVIT_SOAK_KILLS", "resume_soak: how often it kills a run"},
    {"NESTVIT_SOAK_SEED", "resume_soak: the seed of its choices"},
    {"NESTVIT_EVENTS_FOLDER", "report_test: where it leaves TensorBoard's events"},
    {"NESTVIT_PAGE", "report_test: where it writes a run page, to look at"},
    {"NESTVIT_RESNET_FOLDER", "train_test: timm's ResNet, as tools/interop/check.py leaves it"},
    {"MKL_NUM_THREADS", "set by bench/ for the peers"},
};

constexpr Section kSections[] = {
    {"Computing", kComputing},          {"Data", kData},
    {"Fetching by name", kFetching},    {"Messages", kTerminal},
    {"Other programs", kPrograms},      {"Training in several processes", kLaunchers},
    {"Read by libraries", kLibraries},  {"scripts/launch", kScripts},
    {"Tests and measurements", kTests},
};

constexpr size_t kColumns = 100;

constexpr const char* kIntroduction = R"(# Environment variables

`nestvit --help-environment` prints this text. A variable that is empty counts as unset. An option
of the command line wins over the variable that says the same.
)";

}  // namespace

std::optional<std::string> environment_variable(const std::string& name) {
  const std::vector<std::string> known = environment_names();
  NESTVIT_CHECK(std::find(known.begin(), known.end(), name) != known.end());
  const char* value = std::getenv(name.c_str());
  return value && *value ? std::optional<std::string>(value) : std::nullopt;
}

std::vector<std::string> environment_names() {
  std::vector<std::string> names;
  for (const Section& section : kSections)
    for (const Variable& variable : section.variables) names.emplace_back(variable.name);
  return names;
}

std::string environment_help() {
  std::string text = kIntroduction;
  for (const Section& section : kSections) {
    text += fmt::format("\n## {}\n\n", section.title);
    for (const Variable& variable : section.variables)
      text += fmt::format(
          "- {}\n",
          wrapped(fmt::format("`{}`: {}.", variable.name, variable.meaning), kColumns, 2));
  }
  return text;
}

fs::path own_program() { return fs::read_symlink("/proc/self/exe"); }

}  // namespace nestvit
