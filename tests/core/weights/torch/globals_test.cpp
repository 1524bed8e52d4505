// The globals that a checkpoint may name: the same thing under its names, and nothing that runs.
#include "weights/torch/globals.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace nestvit {
namespace {

TEST(TorchGlobals, StoragesAndTypesAreKnownByBothNames) {
  for (const TorchStorage& storage : kTorchStorages) {
    for (const std::string_view name : {storage.global, storage.dtype}) {
      const size_t dot = name.rfind('.');
      EXPECT_EQ(torch_global(name.substr(0, dot), name.substr(dot + 1)), name);
    }
    EXPECT_TRUE(storage.global.ends_with("Storage"));
  }
  EXPECT_EQ(torch_global("torch.storage", "UntypedStorage"), "torch.UntypedStorage");
  EXPECT_EQ(torch_global("torch", "UntypedStorage"), "torch.UntypedStorage");
}

TEST(TorchGlobals, OldAndMovedModulesMeanTheSame) {
  EXPECT_EQ(torch_global("__builtin__", "set"), torch_global("builtins", "set"));
  EXPECT_EQ(torch_global("numpy._core.multiarray", "scalar"),
            torch_global("numpy.core.multiarray", "scalar"));
  EXPECT_EQ(torch_global("numpy.dtypes", "Float64DType"), "numpy.dtypes");
  EXPECT_EQ(torch_global("torch", "float8_e4m3fn"), "torch.dtype");
  EXPECT_EQ(torch_global("torch", "uint16"), "torch.dtype");
}

TEST(TorchGlobals, DictsAreDicts) {
  for (const auto& [module, name] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"collections", "OrderedDict"}, {"collections", "defaultdict"}, {"builtins", "dict"}}) {
    ASSERT_NE(torch_global(module, name), "");
    EXPECT_TRUE(is_dict_class(torch_global(module, name)));
  }
  EXPECT_FALSE(is_dict_class(torch_global("builtins", "list")));
  EXPECT_FALSE(is_dict_class(""));
}

TEST(TorchGlobals, EverythingElseIsRefused) {
  for (const auto& [module, name] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"os", "system"},
           {"builtins", "eval"},
           {"builtins", "getattr"},
           {"torch", "load"},
           {"torch", "float"},
           {"torch", "int"},
           {"torch", "interpolate"},
           {"torch.hub", "load"},
           {"numpy", "load"},
           {"collections", "OrderedDict.update"},
           {"", ""},
           {"torch.storage", "_load_from_bytes"},
           {"torch.nn", "float8"}})
    EXPECT_EQ(torch_global(module, name), "") << module << "." << name;
}

}  // namespace
}  // namespace nestvit
