// torch.save's files: the golden ones, checkpoints as trainers wrap them, and files that lie.
#include "weights/torch/reader.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <bit>

#include "base/file.h"
#include "support/golden.h"
#include "support/pickle_builder.h"
#include "support/same_tensors.h"
#include "support/temp_dir.h"
#include "weights/files/wrappers.h"
#include "weights/safetensors.h"

namespace nestvit {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::same;
using testing::TempDir;
using testing::zip_of;
using namespace testing::pickle;

using Entries = std::vector<std::pair<std::string, std::string>>;
using File = std::vector<std::byte>;

// The archive of a pickle and storages 0, 1, ... of so many bytes: float i of a storage is i.
std::string count_up(size_t floats) {
  std::string bytes;
  for (size_t i = 0; i < floats; ++i)
    bytes += testing::little(std::bit_cast<uint32_t>(static_cast<float>(i)), 4);
  return bytes;
}

File archive(const std::string& body, const std::vector<std::string>& storages = {count_up(6)},
             const Entries& more = {}, uint64_t alignment = 64) {
  Entries entries = {{"w/data.pkl", program(body)}, {"w/version", "3\n"}};
  for (size_t i = 0; i < storages.size(); ++i)
    entries.emplace_back(fmt::format("w/data/{}", i), storages[i]);
  entries.insert(entries.end(), more.begin(), more.end());
  return zip_of(entries, alignment);
}

TorchCheckpoint parse(File file, bool prefer_ema = false) {
  auto owner = std::make_shared<const File>(std::move(file));
  return parse_torch(*owner, owner, "test.pth", prefer_ema);
}

std::vector<std::string> names(const TensorMap& tensors) {
  std::vector<std::string> all;
  for (const auto& [name, _] : tensors) all.push_back(name);
  return all;
}

std::string message(const File& file) {
  try {
    parse(file);
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("test.pth"));
    EXPECT_FALSE(e.hint().empty()) << e.what();
    return std::string(e.what()) + " / " + e.hint();
  }
  return "";
}

bool same(const TensorMap& a, const TensorMap& b) {
  return names(a) == names(b) && std::ranges::all_of(a, [&](const auto& named) {
           return same(named.second, b.at(named.first));
         });
}

std::vector<fs::path> golden_files() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(testing::golden_root() / "timm"))
    if (entry.path().filename().string().find(".pth") != std::string::npos)
      files.push_back(entry.path());
  if (files.empty()) throw std::runtime_error("no .pth file among the goldens");
  return files;
}

TEST(TorchFileGolden, WeightsOfEveryFileAreRead) {
  const TempDir folder;
  for (const fs::path& path : golden_files()) {
    EXPECT_TRUE(looks_like_torch(read_file(path))) << path;
    const TorchCheckpoint read = read_torch(path);
    EXPECT_FALSE(read.tensors.empty()) << path;
    write_torch(folder / "copy.pth", read.tensors);
    EXPECT_TRUE(same(read_torch(folder / "copy.pth").tensors, read.tensors)) << path;
  }
}

// state.pth and module_prefix.pth.tar hold what a Hugging Face folder beside them holds.
TEST(TorchFileGolden, SameBitsAsSafetensors) {
  const auto folders = testing::golden_cases("timm", "model.safetensors");
  for (const char* file : {"state.pth", "module_prefix.pth.tar"}) {
    const TensorMap read =
        unwrap(read_torch(testing::golden_root() / "timm" / file).tensors, false, file).tensors;
    const bool found = std::ranges::any_of(folders, [&](const fs::path& folder) {
      return same(read, read_safetensors(folder / "model.safetensors"));
    });
    EXPECT_TRUE(found) << file;
  }
}

TEST(TorchFileGolden, TrainingCheckpointHoldsBothWeights) {
  const fs::path path = testing::golden_root() / "timm" / "train_checkpoint.pth.tar";
  const TorchCheckpoint plain = read_torch(path), averaged = read_torch(path, true);
  EXPECT_EQ(plain.wrapper, "state_dict");
  EXPECT_EQ(averaged.wrapper, "state_dict_ema");
  EXPECT_EQ(names(plain.tensors), names(averaged.tensors));
  EXPECT_FALSE(same(plain.tensors, averaged.tensors));
  EXPECT_TRUE(plain.facts.at("arch").starts_with("nest_")) << plain.facts.at("arch");
  EXPECT_GE(std::stoi(plain.facts.at("epoch")), 0);
  EXPECT_EQ(plain.facts.at("args.model"), plain.facts.at("arch"));
  EXPECT_GT(std::stod(plain.facts.at("args.lr")), 0);
}

TEST(TorchFile, TensorsLieInTheFile) {
  auto owner = std::make_shared<const File>(archive(
      dict({{"a", floats("0", 6)}, {"b", tensor(storage("FloatStorage", "0", 6), 2, {2}, {1})}})));
  const TensorMap tensors = parse_torch(*owner, owner, "test.pth").tensors;
  EXPECT_THAT(tensors.at("b").as<float>(), ElementsAre(2, 3));
  for (const auto& [name, tensor] : tensors) {
    EXPECT_GE(tensor.bytes().data(), owner->data()) << name;
    EXPECT_LE(tensor.bytes().data() + tensor.bytes().size(), owner->data() + owner->size()) << name;
  }
  EXPECT_EQ(tensors.at("b").bytes().data(), tensors.at("a").bytes().data() + 8) << "one storage";
}

TEST(TorchFile, OtherOrdersAreMadeRowMajor) {
  const std::string all = storage("FloatStorage", "0", 6);
  const TensorMap tensors =
      parse(archive(dict({{"transposed", tensor(all, 0, {3, 2}, {1, 3})},
                          {"columns", tensor(all, 1, {2, 2}, {3, 1})},
                          {"every_second", tensor(all, 0, {3}, {2})},
                          {"expanded", tensor(all, 4, {2, 2}, {0, 1})},
                          {"one", tensor(all, 5, {1, 1}, {INT64_MAX, INT64_MAX})},
                          {"one_axis", tensor(all, 1, {1, 2}, {INT64_MAX, 2})},
                          {"none", tensor(all, 6, {2, 0}, {1, 1})}})))
          .tensors;
  EXPECT_THAT(tensors.at("transposed").as<float>(), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(tensors.at("columns").as<float>(), ElementsAre(1, 2, 4, 5));
  EXPECT_THAT(tensors.at("every_second").as<float>(), ElementsAre(0, 2, 4));
  EXPECT_THAT(tensors.at("expanded").as<float>(), ElementsAre(4, 5, 4, 5));
  EXPECT_THAT(tensors.at("one").as<float>(), ElementsAre(5));
  EXPECT_THAT(tensors.at("one_axis").as<float>(), ElementsAre(1, 3));
  EXPECT_EQ(tensors.at("none").size(), 0);
}

TEST(TorchFile, StoragesNeedNoAlignment) {
  for (size_t shift = 0; shift < 8; ++shift) {
    const File file = archive(dict({{"a", floats("0", 6)}}), {count_up(6)},
                              {{std::string(shift + 1, 'x'), ""}}, 1);
    EXPECT_THAT(parse(file).tensors.at("a").as<float>(), ElementsAre(0, 1, 2, 3, 4, 5));
  }
}

TEST(TorchFile, Parameters) {
  const std::string hooks = call(global("collections", "OrderedDict"), {});
  const TensorMap tensors =
      parse(archive(dict({{"a", call(global("torch._utils", "_rebuild_parameter"),
                                     {floats("0", 2), "\x88", hooks})},
                          {"b", call(global("torch._utils", "_rebuild_parameter_with_state"),
                                     {floats("0", 3), "\x88", hooks, dict({{"tag", integer(1)}})})},
                          {"c", call(global("torch._utils", "_rebuild_tensor_v3"),
                                     {storage("UntypedStorage", "0", 24), integer(0), counts({2}),
                                      counts({1}), "\x89", hooks, global("torch", "int64")})}})))
          .tensors;
  EXPECT_EQ(tensors.at("a").size(), 2);
  EXPECT_EQ(tensors.at("b").size(), 3);
  EXPECT_EQ(tensors.at("c").dtype(), DType::kI64);
}

TEST(TorchFile, WrappersInTimmsOrder) {
  const auto weights = [](const char* name) { return ordered_dict({{name, floats("0", 1)}}); };
  const File all = archive(dict({{"model", weights("in_model")},
                                 {"state_dict", weights("in_state_dict")},
                                 {"model_ema", weights("in_model_ema")},
                                 {"state_dict_ema", weights("in_state_dict_ema")},
                                 {"at_the_top", floats("0", 1)}}));
  EXPECT_THAT(names(parse(all).tensors), ElementsAre("in_state_dict"));
  EXPECT_THAT(names(parse(all, true).tensors), ElementsAre("in_state_dict_ema"));
  const File some = archive(dict({{"model", weights("in_model")},
                                  {"state_dict", "N"},
                                  {"model_ema", weights("in_model_ema")},
                                  {"state_dict_ema", dict({})}}));
  EXPECT_EQ(parse(some).wrapper, "model");
  EXPECT_EQ(parse(some, true).wrapper, "model_ema");
  const File bare = archive(dict({{"model", floats("0", 1)}, {"b", floats("0", 1)}}));
  EXPECT_EQ(parse(bare, true).wrapper, "");
  EXPECT_THAT(names(parse(bare).tensors), ElementsAre("b", "model"));
}

// PyTorch's own tutorial, and the keys that programs use instead of those.
TEST(TorchFile, TheOneDictOfTensorsIsTaken) {
  const std::string weights = ordered_dict({{"a", floats("0", 1)}});
  const std::string optimizer = dict({{"state", dict({{"a", dict({{"exp_avg", floats("0", 1)}})}})},
                                      {"exp_avg", dict({{"a", floats("0", 1)}})}});
  for (const std::string key :
       {"model_state_dict", "net", "network", "weights", "params", "generator", "my model"}) {
    const TorchCheckpoint read = parse(archive(
        dict({{"epoch", integer(1)}, {key, weights}, {"optimizer_state_dict", optimizer}})));
    EXPECT_EQ(read.wrapper, key);
    EXPECT_THAT(names(read.tensors), ElementsAre("a")) << key;
  }
  const TorchCheckpoint deep =
      parse(archive(dict({{"checkpoint", dict({{"model", dict({{"inner", weights}})}})}})));
  EXPECT_EQ(deep.wrapper, "checkpoint.model.inner");
  EXPECT_THAT(message(archive(dict({{"epoch", integer(1)}, {"optimizer", optimizer}}))),
              HasSubstr("no state_dict; at its top are: epoch, optimizer"));
}

TEST(TorchFile, OfSeveralDictsTheOneWithANetworkIsTaken) {
  const std::string network =
      dict({{"module.patch_embed.proj.weight", floats("0", 1)}, {"b", floats("0", 1)}});
  const std::string other = dict({{"a", floats("0", 1)}});
  EXPECT_EQ(parse(archive(dict({{"state_dict", other}, {"net", network}}))).wrapper, "net");
  EXPECT_EQ(parse(archive(dict({{"rng_state", floats("0", 1)}, {"mine", network}}))).wrapper,
            "mine");
  EXPECT_EQ(parse(archive(dict({{"student", network}, {"model_state_dict", network}}))).wrapper,
            "model_state_dict");
  EXPECT_THAT(message(archive(dict({{"student", network}, {"teacher", network}, {"x", other}}))),
              HasSubstr("2 dicts of tensors, under student, teacher"));
}

TEST(TorchFile, AveragedWeightsWhereTheyAreAskedForOrAlone) {
  const std::string weights = dict({{"a", floats("0", 1)}});
  const File all = archive(dict({{"ema", dict({{"module", weights}})}, {"net", weights}}));
  EXPECT_EQ(parse(all).wrapper, "net");
  EXPECT_EQ(parse(all, true).wrapper, "ema.module");
  EXPECT_EQ(parse(archive(dict({{"model_ema", weights}}))).wrapper, "model_ema");
  EXPECT_EQ(parse(archive(dict({{"net", weights}})), true).wrapper, "net");
}

// Each dict is looked at once, though a thousand names lead to each of a thousand.
TEST(TorchFile, DictsInDictsTakeLittleTime) {
  std::string levels = dict({{"a", floats("0", 1)}}) + "q\5";
  for (char level = 6; level < 9; ++level) {
    std::string many = "}(";
    for (int i = 0; i < 1000; ++i) many += text(fmt::format("{}", i)) + "h" + char(level - 1);
    levels += "0" + many + "uq" + level;
  }
  EXPECT_EQ(parse(archive(levels)).wrapper, "0.0.0");
}

TEST(TorchFile, FactsAreThePlainValuesBesideTheWeights) {
  const std::string arguments =
      global("argparse", "Namespace") + ")\x81" +
      dict({{"lr", std::string("G\x3f\x50\x62\x4d\xd2\xf1\xa9\xfc", 9)}, {"mean", "N"}}) + "b";
  const auto facts = parse(archive(dict({{"state_dict", dict({{"a", floats("0", 1)}})},
                                         {"arch", text("nest_tiny")},
                                         {"epoch", integer(-7)},
                                         {"done", "\x88"},
                                         {"none", "N"},
                                         {"log", text(std::string((16 << 20) + 1, 'x'))},
                                         {"list", "]"},
                                         {"args", arguments},
                                         {"hyper_parameters", dict({{"depth", integer(3)}})}})))
                         .facts;
  EXPECT_EQ(facts, (std::map<std::string, std::string>{{"arch", "nest_tiny"},
                                                       {"epoch", "-7"},
                                                       {"done", "true"},
                                                       {"args.lr", "0.001"},
                                                       {"args.depth", "3"}}));
}

// Objects that trainers put beside the weights are skipped, never made.
TEST(TorchFile, HarmlessGlobals) {
  for (const std::string& value :
       {call(global("collections", "defaultdict"), {global("builtins", "list")}),
        call(global("__builtin__", "set"), {"]"}), call(global("torch", "device"), {text("cpu")}),
        global("torch", "float8_e4m3fn"), call(global("torch", "Size"), {counts({1})}),
        call(global("numpy._core.multiarray", "scalar"),
             {call(global("numpy", "dtype"), {text("f8")}),
              "C\x08"
              "12345678"}),
        call(global("_codecs", "encode"), {text("a"), text("latin1")}),
        call(global("pathlib", "PosixPath"), {text("a")})})
    EXPECT_EQ(parse(archive(dict({{"a", floats("0", 1)}, {"other", value}}))).tensors.size(), 1u);
}

TEST(TorchFile, RefusesToRunAnything) {
  for (const auto& [module, name] :
       std::vector<std::pair<std::string, std::string>>{{"os", "system"},
                                                        {"posix", "system"},
                                                        {"builtins", "eval"},
                                                        {"__builtin__", "exec"},
                                                        {"builtins", "getattr"},
                                                        {"torch", "load"},
                                                        {"torch", "float"},
                                                        {"torch.hub", "load"},
                                                        {"subprocess", "Popen"},
                                                        {"timm.models.nest", "Nest"},
                                                        {"numpy", "load"},
                                                        {"collections", "OrderedDict.update"}}) {
    const File file = archive(
        dict({{"a", floats("0", 1)}, {"b", call(global(module, name), {text("touch pwned")})}}));
    EXPECT_THAT(message(file), HasSubstr(module + "." + name));
    EXPECT_THAT(message(file), HasSubstr("torch.save(model.state_dict()"));
  }
}

TEST(TorchFile, OtherKindsOfFilesAreNamed) {
  const auto bytes_of = [](std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    return File(bytes.begin(), bytes.end());
  };
  const std::string_view old =
      "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3.";
  EXPECT_TRUE(looks_like_torch(bytes_of(old)));
  EXPECT_THAT(message(bytes_of(old)), HasSubstr("before 1.6"));
  EXPECT_THAT(message(bytes_of("\x80\4N.")), HasSubstr("pickle"));
  EXPECT_THAT(message(bytes_of("hello")), HasSubstr("zip"));
  EXPECT_THAT(message({}), HasSubstr("zip"));
  EXPECT_FALSE(looks_like_torch(bytes_of("hello")));
  EXPECT_FALSE(looks_like_torch({}));
  EXPECT_THAT(message(archive(dict({}), {}, {{"w/constants.pkl", ""}, {"w/code/a.py", ""}})),
              HasSubstr("TorchScript"));
  EXPECT_THAT(message(zip_of({{"word/document.xml", ""}})), HasSubstr("not one of torch.save"));
  EXPECT_THAT(
      message(archive(dict({{"a", floats("0", 1)}}), {count_up(1)}, {{"w/byteorder", "big"}})),
      HasSubstr("byte order"));
  EXPECT_EQ(
      message(archive(dict({{"a", floats("0", 1)}}), {count_up(1)}, {{"w/byteorder", "little"}})),
      "");
  EXPECT_THAT(message(archive("]")), HasSubstr("no dict"));
  EXPECT_THAT(message(archive(dict({}))), HasSubstr("no state_dict"));
  EXPECT_THROW(read_torch("/nonexistent/x.pth"), Error);
}

// The method of the data.pkl entry, in both headers, and its checksum.
TEST(TorchFile, CompressedAndDamagedPickles) {
  const File good = archive(dict({{"a", floats("0", 1)}}));
  const auto central =
      std::search(good.begin(), good.end(), std::begin("PK\1\2"), std::end("PK\1\2") - 1,
                  [](std::byte a, char b) { return a == static_cast<std::byte>(b); }) -
      good.begin();
  const auto patched = [&](size_t local, size_t directory, uint8_t value) {
    File file = good;
    for (size_t at : {local, static_cast<size_t>(central) + directory})
      file[at] = static_cast<std::byte>(value);
    return file;
  };
  EXPECT_THAT(message(patched(8, 10, 8)), HasSubstr("compressed"));
  EXPECT_THAT(message(patched(14, 16, 0x77)), HasSubstr("checksum"));
  // Zero says that it was not computed (torch.serialization.set_crc32_options).
  File none = good;
  for (size_t i = 0; i < 4; ++i)
    none[14 + i] = none[static_cast<size_t>(central) + 16 + i] = std::byte{0};
  EXPECT_EQ(message(none), "");
}

TEST(TorchFile, RefusesTensorsOutsideTheirStorage) {
  const std::string all = storage("FloatStorage", "0", 6);
  const int64_t large = INT64_MAX;
  const std::vector<std::string> tensors = {
      tensor(all, 0, {7}, {1}),
      tensor(all, 1, {6}, {1}),
      tensor(all, 6, {1}, {1}),
      tensor(all, -1, {1}, {1}),
      tensor(all, large, {1}, {1}),
      tensor(all, 0, {2}, {6}),
      tensor(all, 0, {2, 2}, {5, 1}),
      tensor(all, 0, {2}, {-1}),
      tensor(all, 0, {-1}, {1}),
      tensor(all, 0, {2}, {large}),
      tensor(all, 1, {2}, {large}),
      tensor(all, 0, {2, 2}, {large, large}),
      tensor(all, 0, {1 << 30}, {0}),  // an expanded element
      tensor(all, 0, {large}, {0}),
      tensor(all, 0, {large, large}, {0, 0}),
      tensor(all, 0, {2, 3}, {1}),
      tensor(all, 0, {2}, {1, 1}),
      tensor(all, 0, std::vector<int64_t>(65, 1), std::vector<int64_t>(65, 1)),
      tensor(storage("FloatStorage", "0", 7), 0, {1}, {1}),
      tensor(storage("FloatStorage", "0", -1), 0, {1}, {1}),
      tensor(storage("FloatStorage", "0", large), 0, {1}, {1}),
      tensor(storage("DoubleStorage", "0", 6), 0, {1}, {1}),
      tensor(storage("FloatStorage", "9", 6), 0, {1}, {1}),
      tensor(storage("FloatStorage", "../data.pkl", 6), 0, {1}, {1}),
      tensor(storage("UntypedStorage", "0", 24), 0, {1}, {1}),
      tensor("N", 0, {1}, {1}),
      tensor(tuple({}) + "Q", 0, {1}, {1}),
      tensor("NQ", 0, {1}, {1}),
      call(global("torch._utils", "_rebuild_tensor_v2"), {}),
      call(global("torch._utils", "_rebuild_tensor_v2"), {all, integer(0), "]", "]"}),
      call(global("torch._utils", "_rebuild_tensor_v2"), {all, "N", counts({1}), counts({1})}),
      call(global("torch._utils", "_rebuild_tensor_v2"),
           {all, integer(0), tuple({"N"}), counts({1})}),
      call(global("torch._utils", "_rebuild_tensor_v3"),
           {all, integer(0), counts({1}), counts({1}), "\x89", "N", global("torch", "uint16")}),
  };
  ASSERT_EQ(message(archive(dict({{"the_name", tensor(all, 0, {6}, {1})}}))), "");
  for (const std::string& tensor : tensors)
    EXPECT_THAT(message(archive(dict({{"the_name", tensor}}))), HasSubstr("the_name"))
        << ::testing::PrintToString(tensor);
}

// Each tensor alone stays within its storage; a thousand copies of one would not stay within
// memory.
TEST(TorchFile, CopiesAreBoundedByTheFile) {
  const std::string all = storage("FloatStorage", "0", 250'000);
  Pairs pairs;
  for (int i = 0; i < 1000; ++i)
    pairs.emplace_back(fmt::format("{}", i), tensor(all, 0, {500, 500}, {1, 500}));
  EXPECT_THAT(message(archive(dict(pairs), {std::string(1'000'000, '\0')})),
              HasSubstr("the same storage"));
}

TEST(TorchFile, CyclesAndSharedValuesEnd) {
  const std::string itself =
      std::string("}q\5") + entries({{"self", "h\5"}, {"a", floats("0", 1)}});
  EXPECT_THAT(names(parse(archive(itself)).tensors), ElementsAre("a"));
  const std::string wrapped =
      std::string("}q\5") +
      entries({{"state_dict", "h\5"}, {"args", "h\5"}, {"a", floats("0", 1)}});
  EXPECT_THAT(names(parse(archive(wrapped)).tensors), ElementsAre("a"));
  const std::string parameter = call(global("torch._utils", "_rebuild_parameter"), {"]q\5h\5a"});
  EXPECT_THAT(message(archive(dict({{"a", parameter}}))), HasSubstr("no state_dict"));
  // A text of a megabyte under ten thousand names.
  std::string facts =
      "}(" + text("a") + floats("0", 1) + text("0") + text(std::string(1 << 20, 'x')) + "q\7";
  for (int i = 1; i < 10'000; ++i) facts += text(fmt::format("{}", i)) + "h\7";
  size_t length = 0;
  for (const auto& [_, value] : parse(archive(facts + "u")).facts) length += value.size();
  EXPECT_LE(length, size_t{16} << 20);
}

TEST(TorchFile, RefusesAFileThatIsCutOrChangedAnywhere) {
  const File whole = archive(
      dict({{"state_dict", ordered_dict({{"module.a", floats("0", 6)}})}, {"epoch", integer(3)}}));
  ASSERT_EQ(message(whole), "");
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_THROW(parse({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}), Error)
        << length;
  // A changed byte may go unnoticed (in a tensor, in padding), but not crash.
  for (size_t at = 0; at < whole.size(); ++at)
    for (const int change : {1, 0x80, 0xff}) {
      File file = whole;
      file[at] ^= static_cast<std::byte>(change);
      try {
        for (const auto& [name, tensor] : parse(std::move(file)).tensors) tensor.to_f32();
      } catch (const Error&) {
      }
    }
}

}  // namespace
}  // namespace nestvit
