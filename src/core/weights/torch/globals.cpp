// The list of globals. None of them is ever called: being on it only means that a file with it is
// not refused.
#include "weights/torch/globals.h"

#include <fmt/format.h>

#include <algorithm>

namespace nestvit {
namespace {

constexpr std::array<std::string_view, 7> kMeant = {
    kTorchTensor, kTorchTensorOfDType, kTorchParameter,       kTorchParameterState,
    kTorchSize,   kNamespace,          "torch.UntypedStorage"};

constexpr std::array<std::string_view, 7> kDicts = {
    kOrderedDict,
    "collections.defaultdict",
    "collections.Counter",
    "builtins.dict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
};

constexpr std::array<std::string_view, 27> kInert = {
    "builtins.set",
    "builtins.frozenset",
    "builtins.list",
    "builtins.tuple",
    "builtins.int",
    "builtins.float",
    "builtins.str",
    "builtins.bool",
    "builtins.bytes",
    "builtins.complex",
    "builtins.bytearray",
    "builtins.slice",
    "collections.deque",
    "_codecs.encode",
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "pathlib.Path",
    "pathlib.PurePath",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "torch.device",
    "torch.Tensor",
};

// Further dtypes of torch, such as float8_e4m3fn: harmless as values, refused where a tensor of the
// weights has them.
bool is_dtype_name(std::string_view name) {
  for (const std::string_view stem : {"uint", "int", "float", "complex", "quint", "qint", "bfloat"})
    if (name.starts_with(stem) && name.size() > stem.size() && name[stem.size()] >= '0' &&
        name[stem.size()] <= '9')
      return true;
  return false;
}

}  // namespace

std::string_view torch_global(std::string_view module, std::string_view name) {
  if (module == "__builtin__") module = "builtins";  // Python 2, whose names protocol 2 keeps
  if (module == "numpy._core.multiarray") module = "numpy.core.multiarray";
  if (module == "torch.storage" && name == "UntypedStorage") module = "torch";
  if (module == "numpy.dtypes") return "numpy.dtypes";
  const std::string full = fmt::format("{}.{}", module, name);
  for (const TorchStorage& storage : kTorchStorages) {
    if (storage.global == full) return storage.global;
    if (storage.dtype == full) return storage.dtype;
  }
  for (std::span<const std::string_view> list :
       {std::span<const std::string_view>(kMeant), std::span<const std::string_view>(kDicts),
        std::span<const std::string_view>(kInert)})
    if (const auto found = std::ranges::find(list, full); found != list.end()) return *found;
  return module == "torch" && is_dtype_name(name) ? "torch.dtype" : std::string_view();
}

bool is_dict_class(std::string_view global) {
  return std::ranges::find(kDicts, global) != kDicts.end();
}

}  // namespace nestvit
