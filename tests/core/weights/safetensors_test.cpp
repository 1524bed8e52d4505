// safetensors: round trips, the reference files, and files that lie.
#include "weights/safetensors.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "support/golden.h"
#include "support/same_tensors.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::same;
using testing::TempDir;

std::vector<std::byte> file_of(const std::string& header, size_t data_bytes,
                               std::optional<uint64_t> length = {}) {
  std::vector<std::byte> file;
  const uint64_t size = length.value_or(header.size());
  for (int shift = 0; shift < 64; shift += 8)
    file.push_back(static_cast<std::byte>((size >> shift) & 0xff));
  for (char c : header) file.push_back(static_cast<std::byte>(c));
  for (size_t i = 0; i < data_bytes; ++i) file.push_back(static_cast<std::byte>(i));
  return file;
}

TensorMap parse(std::vector<std::byte> file, Metadata* metadata = nullptr) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(file));
  return parse_safetensors(*owner, owner, "test.safetensors", metadata);
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   uint64_t begin, uint64_t end) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":[{},{}]}})", name, dtype,
                     shape, begin, end);
}

TensorMap mixed() {
  return {{"z", Tensor::f32({2, 2}, {1, 2, 3, 4})},
          {"a", Tensor::u8({3}, {5, 6, 7})},
          {"b", Tensor::i64({1}, {-9})},
          {"scalar", Tensor::f32({}, {0.25f})},
          {"empty", Tensor::f32({0, 7}, {})},
          {"n\"am\\e \xc3\xa9", Tensor::u8({1}, {1})}};
}

TEST(Safetensors, RoundTripsEveryTensorAndTheMetadata) {
  const TempDir folder;
  const auto path = folder / "x.safetensors";
  write_safetensors(path, mixed(), {{"note", "a \"quoted\" word"}});
  Metadata metadata;
  const TensorMap read = read_safetensors(path, &metadata);
  ASSERT_EQ(read.size(), mixed().size());
  for (const auto& [name, tensor] : mixed()) {
    ASSERT_TRUE(read.contains(name)) << name;
    EXPECT_TRUE(same(read.at(name), tensor)) << name;
  }
  EXPECT_EQ(metadata, (Metadata{{"format", "pt"}, {"note", "a \"quoted\" word"}}));
}

TEST(Safetensors, WritesWhatTheFormatAsksFor) {
  const TempDir folder;
  const auto path = folder / "x.safetensors";
  write_safetensors(path, mixed());
  const auto bytes = read_file(path);
  BoundedReader reader(bytes, "x");
  const auto length = reader.little<uint64_t>();
  EXPECT_EQ(length % 8, 0u);
  const auto header = reader.take(length);
  const auto json = nlohmann::json::parse(reinterpret_cast<const char*>(header.data()),
                                          reinterpret_cast<const char*>(header.data()) + length);
  EXPECT_EQ(json["__metadata__"]["format"], "pt");
  EXPECT_EQ(json["z"]["dtype"], "F32");
  EXPECT_EQ(json["z"]["shape"], (std::vector<int>{2, 2}));
  for (const auto& [name, entry] : json.items())
    if (name != "__metadata__" && entry["dtype"] == "F32") {
      EXPECT_EQ(entry["data_offsets"][0].get<int>() % 4, 0) << name;
    }
  write_safetensors(folder / "y.safetensors", mixed());
  EXPECT_EQ(read_file(folder / "y.safetensors"), bytes) << "two writes differ";
}

TEST(Safetensors, WritesAndReadsNoTensorsAtAll) {
  const TempDir folder;
  write_safetensors(folder / "x.safetensors", {});
  EXPECT_TRUE(read_safetensors(folder / "x.safetensors").empty());
  EXPECT_TRUE(parse(file_of("{}", 0)).empty());
}

TEST(Safetensors, ReadsDataAtOddPositions) {
  // The header's length is odd, so no float lies on a multiple of four.
  for (int pad = 0; pad < 8; ++pad) {
    const std::string header =
        "{" + tensor("x", "F32", "[2]", 0, 8) + "}" + std::string(static_cast<size_t>(pad), ' ');
    const TensorMap tensors = parse(file_of(header, 8));
    const std::vector<uint32_t> bits = {0x03020100, 0x07060504};
    EXPECT_EQ(std::memcmp(tensors.at("x").as<float>().data(), bits.data(), 8), 0) << pad;
  }
}

TEST(Safetensors, KeepsTheFileMappedWhileATensorLives) {
  const TempDir folder;
  const auto path = folder / "x.safetensors";
  write_safetensors(path, mixed());
  Tensor kept;
  {
    kept = read_safetensors(path).at("z");
    std::filesystem::remove(path);
  }
  EXPECT_THAT(kept.as<float>(), ElementsAre(1, 2, 3, 4));
}

TEST(Safetensors, RefusesAFileThatIsCutAnywhere) {
  const TempDir folder;
  const auto path = folder / "x.safetensors";
  write_safetensors(path, mixed());
  const auto whole = read_file(path);
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_THROW(parse({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}), Error)
        << length;
  auto longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_THROW(parse(longer), Error);
}

TEST(Safetensors, RefusesHeadersThatLie) {
  const std::string one = tensor("x", "F32", "[2]", 0, 8);
  ASSERT_EQ(parse(file_of("{" + one + "}", 8)).size(), 1u) << "the cases below differ from this";
  const std::vector<std::pair<std::string, size_t>> cases = {
      {"", 8},
      {" {" + one + "}", 8},
      {"[]", 0},
      {"{" + one, 8},
      {"{" + one + "}x", 8},
      {"{" + one + "}{}", 8},
      {"{" + one + "," + one + "}", 8},                                 // twice
      {"{" + one + "," + tensor("y", "F32", "[2]", 4, 12) + "}", 12},   // overlap
      {"{" + one + "," + tensor("y", "F32", "[2]", 0, 8) + "}", 8},     // the same bytes
      {"{" + one + "," + tensor("y", "F32", "[2]", 12, 20) + "}", 20},  // gap
      {"{" + tensor("x", "F32", "[2]", 4, 12) + "}", 12},               // gap at the front
      {"{" + one + "}", 12},                                            // rest
      {"{" + one + "}", 4},                                             // too short
      {"{" + tensor("x", "F32", "[3]", 0, 8) + "}", 8},
      {"{" + tensor("x", "F32", "[2]", 8, 0) + "}", 8},
      {"{" + tensor("x", "F32", "[-2]", 0, 8) + "}", 8},
      {"{" + tensor("x", "F32", "[2.0]", 0, 8) + "}", 8},
      {"{" + tensor("x", "F32", "[\"2\"]", 0, 8) + "}", 8},
      {"{" + tensor("x", "F32", "[[2]]", 0, 8) + "}", 8},
      {"{" + tensor("x", "F32", "2", 0, 8) + "}", 8},
      {"{" + tensor("x", "F33", "[2]", 0, 8) + "}", 8},
      {"{" + tensor("x", "F32", "[4611686018427387904,4]", 0, 0) + "}", 0},  // 2^64 elements
      {"{" + tensor("x", "F32", "[4611686018427387904]", 0, 0) + "}", 0},    // 2^64 bytes
      {"{" + tensor("x", "F32", "[18446744073709551615]", 0, 8) + "}", 8},
      {"{" + tensor("x", "F32", "[2]", 0, 18446744073709551615u) + "}", 8},
      {R"({"x":{"dtype":"F32","shape":[2]}})", 0},
      {R"({"x":{"dtype":"F32","data_offsets":[0,8]}})", 8},
      {R"({"x":{"shape":[2],"data_offsets":[0,8]}})", 8},
      {R"({"x":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8},
      {R"({"x":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}})", 8},
      {R"({"x":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}})", 8},
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4,8]}})", 8},
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8},
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":{"a":0}}})", 8},
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})", 8},
      {R"({"x":7})", 0},
      {R"({"x":[7]})", 0},
      {R"({"x":null})", 0},
      {R"({"__metadata__":7})", 0},
      {R"({"__metadata__":{"a":7}})", 0},
      {R"({"__metadata__":{"a":["b"]}})", 0},
      {R"({"__metadata__":{"a":{"b":"c"}}})", 0},
      {"{\"x\xff\":7}", 0},
  };
  for (const auto& [header, data] : cases)
    EXPECT_THROW(parse(file_of(header, data)), Error) << header << " + " << data;
}

TEST(Safetensors, NeverTrustsTheHeaderLength) {
  for (uint64_t length :
       {uint64_t{3}, uint64_t{1000}, uint64_t{1} << 31, uint64_t{1} << 63, UINT64_MAX})
    EXPECT_THROW(parse(file_of("{}", 0, length)), Error) << length;
}

TEST(Safetensors, SurvivesDeepNesting) {
  for (const char* open : {"[", "{\"a\":"}) {
    std::string header = "{\"x\":";
    for (int i = 0; i < 1'000'000; ++i) header += open;
    EXPECT_THROW(parse(file_of(header, 0)), Error);
  }
}

TEST(Safetensors, SaysWhatIsWrongAndWhere) {
  try {
    parse(file_of("{" + tensor("head.weight", "F32", "[3, 5]", 0, 8) + "}", 8));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("test.safetensors"));
    EXPECT_THAT(e.what(), HasSubstr("head.weight"));
    EXPECT_THAT(e.what(), HasSubstr("[3, 5]"));
  }
  try {
    parse(file_of("{" + tensor("x", "F32", "[2]", 0, 8) + "}", 5));
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("8 bytes"));
    EXPECT_THAT(e.what(), HasSubstr("holds 5"));
    EXPECT_FALSE(e.hint().empty());
  }
  EXPECT_THROW(read_safetensors("/nonexistent/x.safetensors"), Error);
}

// Files of the reference writer, rewritten by ours, hold the same.
TEST(SafetensorsGolden, ReferenceFilesSurviveRewriting) {
  const TempDir folder;
  size_t seen = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(testing::golden_root())) {
    if (entry.path().extension() != ".safetensors" || entry.file_size() > (8 << 20)) continue;
    const TensorMap original = read_safetensors(entry.path());
    EXPECT_FALSE(original.empty()) << entry.path();
    write_safetensors(folder / "copy.safetensors", original);
    const TensorMap copy = read_safetensors(folder / "copy.safetensors");
    ASSERT_EQ(copy.size(), original.size()) << entry.path();
    for (const auto& [name, tensor] : original)
      EXPECT_TRUE(same(copy.at(name), tensor)) << entry.path() << " " << name;
    ++seen;
  }
  EXPECT_GT(seen, 0u);
}

// Forgotten values are read from the file again, even after the file is removed; tensors in memory
// forget nothing.
TEST(Safetensors, ForgottenValuesComeBack) {
  const TempDir directory;
  const auto path = directory.path() / "a.safetensors";
  std::vector<float> values(10000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Tensor in_memory = Tensor::f32({10000}, values);
  write_safetensors(path, {{"a", in_memory}});
  const TensorMap read = read_safetensors(path);
  std::filesystem::remove(path);
  for (const Tensor& tensor : {read.at("a"), in_memory}) {
    EXPECT_EQ(tensor.to_f32(), values);
    tensor.forget();
    EXPECT_EQ(tensor.to_f32(), values);
  }
}

}  // namespace
}  // namespace nestvit
