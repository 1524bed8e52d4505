// The globals that a checkpoint may name, which is all that its pickle may use.
#pragma once

#include <array>
#include <string_view>

#include "weights/tensor.h"

namespace nestvit {

struct TorchStorage {
  std::string_view global, dtype;
  DType type;
};
inline constexpr std::array kTorchStorages = {
    TorchStorage{"torch.DoubleStorage", "torch.float64", DType::kF64},
    TorchStorage{"torch.FloatStorage", "torch.float32", DType::kF32},
    TorchStorage{"torch.HalfStorage", "torch.float16", DType::kF16},
    TorchStorage{"torch.BFloat16Storage", "torch.bfloat16", DType::kBF16},
    TorchStorage{"torch.LongStorage", "torch.int64", DType::kI64},
    TorchStorage{"torch.IntStorage", "torch.int32", DType::kI32},
    TorchStorage{"torch.ShortStorage", "torch.int16", DType::kI16},
    TorchStorage{"torch.CharStorage", "torch.int8", DType::kI8},
    TorchStorage{"torch.ByteStorage", "torch.uint8", DType::kU8},
    TorchStorage{"torch.BoolStorage", "torch.bool", DType::kBool},
};

inline constexpr std::string_view kTorchTensor = "torch._utils._rebuild_tensor_v2";
// For dtypes without a storage of their own: the dtype is an argument.
inline constexpr std::string_view kTorchTensorOfDType = "torch._utils._rebuild_tensor_v3";
inline constexpr std::string_view kTorchParameter = "torch._utils._rebuild_parameter";
inline constexpr std::string_view kTorchParameterState =
    "torch._utils._rebuild_parameter_with_state";
inline constexpr std::string_view kTorchSize = "torch.Size";
inline constexpr std::string_view kOrderedDict = "collections.OrderedDict";
inline constexpr std::string_view kNamespace = "argparse.Namespace";

// A PickleGlobals: the names above, kinds of dicts, and types of values that may stand beside the
// weights and are not looked at.
std::string_view torch_global(std::string_view module, std::string_view name);

// Whether the global, as torch_global names it, is a class of dicts.
bool is_dict_class(std::string_view global);

}  // namespace nestvit
