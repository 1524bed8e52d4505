// state_dicts as we write them: every type comes back, and two writes are the same file.
#include <gtest/gtest.h>

#include "base/file.h"
#include "support/same_tensors.h"
#include "support/temp_dir.h"
#include "weights/torch/reader.h"
#include "weights/torch/zip.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using testing::TempDir;

// Every dtype, a scalar, and none at all.
TensorMap mixed() {
  TensorMap tensors = {{"scalar", Tensor::f32({}, {0.25f})},
                       {"empty", Tensor::f32({0, 7}, {})},
                       {"head.weight", Tensor::f32({2, 3}, {1, 2, 3, 4, 5, 6})},
                       {"name \xc3\xa9", Tensor::u8({1}, {1})}};
  auto bytes = std::make_shared<std::vector<std::byte>>(6 * 8);
  for (size_t i = 0; i < bytes->size(); ++i) (*bytes)[i] = static_cast<std::byte>(i * 37 % 251);
  for (DType dtype : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64, DType::kI32,
                      DType::kI16, DType::kI8, DType::kU8, DType::kBool})
    tensors.emplace(dtype_name(dtype),
                    Tensor(dtype, {3, 1, 2},
                           std::span<const std::byte>(*bytes).first(6 * dtype_size(dtype)), bytes));
  return tensors;
}

TEST(TorchWriter, RoundTripsEveryDType) {
  const TempDir folder;
  const fs::path path = folder / "x.pth";
  write_torch(path, mixed());
  const TorchCheckpoint read = read_torch(path);
  EXPECT_EQ(read.wrapper, "");
  EXPECT_TRUE(read.facts.empty());
  testing::expect_same(read.tensors, mixed(), "x.pth");
  const auto bytes = read_file(path);
  write_torch(folder / "y.pth", mixed());
  EXPECT_EQ(read_file(folder / "y.pth"), bytes) << "two writes differ";
  for (const auto& [name, entry] : read_zip(bytes, "x.pth"))
    EXPECT_EQ((entry.bytes.data() - bytes.data()) % 64, 0) << name;
}

TEST(TorchWriter, RoundTripsFactsBesideTheWeights) {
  const TempDir folder;
  const std::map<std::string, std::string> facts = {{"arch", "nest_tiny"},
                                                    {"config", "{\n \"a\": \"\xc3\xa9\"}"}};
  write_torch(folder / "x.pth", mixed(), facts);
  const TorchCheckpoint read = read_torch(folder / "x.pth");
  EXPECT_EQ(read.wrapper, "state_dict");
  EXPECT_EQ(read.facts, facts);
  testing::expect_same(read.tensors, mixed(), "x.pth");
}

}  // namespace
}  // namespace nestvit
