// Every option that names a place for a result, at every kind of place.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "support/cli_test.h"

namespace nestvit::testing {
namespace {

using ::testing::HasSubstr;

// A command that writes one result; {} is its place.
struct Writer {
  const char *name, *command, *file;
};

constexpr Writer kFileWriters[] = {
    {"PredictOutput", "predict --model model photo.png --output {}", "answers.csv"},
    {"PredictSheet", "predict --model model photo.png --sheet {}", "sheet.png"},
    {"ExplainOutput", "explain --model model photo.png --output {}", "paths.csv"},
    {"ExplainSheet", "explain --model model photo.png --sheet {}", "sheet.png"},
    {"EvalResults", "eval --model model --data-dir data --results-file {}", "result.json"},
    {"CheckJson", "data check data --json {}", "found.json"},
    {"CheckCsv", "data check data --csv {}", "found.csv"},
    {"Augment", "data augment --op Rotate --level 0.5 photo.png {}", "turned.jpg"},
    {"Preprocess", "preprocess --model model photo.png --output {}", "x.safetensors"},
    {"Run", "run --model model --input in.safetensors --output {}", "y.safetensors"},
    {"ConvertPth", "convert model {} --to pth --overwrite", "model.pth"},
    {"ConvertSafetensors", "convert model {} --to safetensors --overwrite", "model.safetensors"},
#ifdef NESTVIT_HAS_TRAIN
    {"PreviewOutput",
     "data preview data --config.input_size=16 --config.per_device_batch_size=4 --output {}",
     "grid.jpg"},
    {"PreviewBatch",
     "data preview data --config.input_size=16 --config.per_device_batch_size=4 --save-batch {}",
     "batch.safetensors"},
#endif
};
constexpr Writer kFolderWriters[] = {
    {"EvalReport", "eval --model model --data-dir data --report {}", "report"},
    {"ExplainOut", "explain --model model photo.png --out {}", "why"},
    {"Quantize", "quantize --model model --output {} --overwrite", "small"},
    {"Convert", "convert model {} --overwrite", "copy"},
    {"ConvertFlax", "convert model {} --to flax --overwrite", "official"},
};

void PrintTo(const Writer& writer, std::ostream* to) { *to << writer.name; }

class PlacesCli : public CliTest, public ::testing::WithParamInterface<Writer> {
 protected:
  void SetUp() override {
    save("model", constant_model({0, 1, 2}, {"ant", "bee", "cat"}));
    write_image("photo.png", {10, 100, 200});
    for (const char* label : {"ant", "bee", "cat"})
      for (int i = 0; i < 4; ++i)
        write_image(fmt::format("data/{}/{}.png", label, i), {9, static_cast<uint8_t>(i), 9}, 20);
    ASSERT_EQ(nestvit("preprocess --model model photo.png --output in.safetensors").code, 0);
    fs::create_directories(path("far"));
  }
  Outcome write(const std::string& place) const {
    return nestvit(fmt::format(fmt::runtime(GetParam().command), place));
  }
  // Without the model and the data there is no work: a place that is named is looked at first.
  Outcome write_without_work(const std::string& place) const {
    for (const char* needed : {"model", "data", "photo.png", "in.safetensors"})
      fs::remove_all(path(needed));
    return write(place);
  }
  std::string file() const { return GetParam().file; }
  // The beginning of what a regular file gets; times differ.
  std::string beginning() const {
    EXPECT_EQ(write(file()).code, 0);
    return text(file()).substr(0, 8);
  }
};

std::string name_of(const ::testing::TestParamInfo<Writer>& info) { return info.param.name; }

class FilePlacesCli : public PlacesCli {};
INSTANTIATE_TEST_SUITE_P(All, FilePlacesCli, ::testing::ValuesIn(kFileWriters), name_of);

// A device of the test's own where the user may make one: as root, in a container, a faulty program
// would replace the machine's.
TEST_P(FilePlacesCli, ADeviceStays) {
  if (mknod(path("null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0)
    fs::create_symlink("/dev/null", path("null"));
  const Outcome outcome = write("null");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(fs::is_character_file(path("null")));
}

TEST_P(FilePlacesCli, APipeIsWrittenThrough) {
  const std::string expected = beginning();
  const std::string name = "pipe" + fs::path(file()).extension().string();
  ASSERT_EQ(mkfifo(path(name).c_str(), 0600), 0);
  const Outcome outcome = shell(fmt::format("cat {} >got & nestvit {} && wait", name,
                                            fmt::format(fmt::runtime(GetParam().command), name)));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(fs::is_fifo(path(name)));
  EXPECT_THAT(text("got"), ::testing::StartsWith(expected));
}

TEST_P(FilePlacesCli, AProcessOfTheShellGetsIt) {
  const Outcome outcome =
      shell(fmt::format("bash -c 'nestvit {}; wait $!'",
                        fmt::format(fmt::runtime(GetParam().command), ">(cat >got)")));
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_GT(fs::file_size(path("got")), 20u);
}

TEST_P(FilePlacesCli, StandardOutputTakesIt) {
  const Outcome to_pipe = shell(fmt::format(
      "nestvit {} | cat >got", fmt::format(fmt::runtime(GetParam().command), "/dev/stdout")));
  EXPECT_EQ(to_pipe.code, 0) << to_pipe.err;
  EXPECT_GT(fs::file_size(path("got")), 20u);
  const Outcome to_file = write("/dev/stdout");
  EXPECT_EQ(to_file.code, 0) << to_file.err;
  EXPECT_GT(to_file.out.size(), 20u);
}

TEST_P(FilePlacesCli, ALinkStays) {
  const std::string link = "link" + fs::path(file()).extension().string();
  write_file(path("far/target"), "old");
  fs::create_symlink("far/target", path(link));
  const Outcome outcome = write(link);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(fs::is_symlink(path(link)));
  EXPECT_NE(text("far/target"), "old");
}

TEST_P(FilePlacesCli, APlaceThatCannotBeWrittenIsAnErrorBeforeTheWork) {
  fs::create_directories(path("folder" + file()));
  for (const std::string& place :
       {"nowhere/" + file(), "folder" + file(), file() + "/", std::string("/proc/") + file()}) {
    const Outcome outcome = write_without_work(place);
    expect_failure(outcome, 1, {"cannot write", place});
    EXPECT_THAT(outcome.err, ::testing::Not(HasSubstr("no model")));
  }
  expect_failure(write_without_work("/dev/full"), 1, {"/dev/full", "No space left"});
}

class FolderPlacesCli : public PlacesCli {};
INSTANTIATE_TEST_SUITE_P(All, FolderPlacesCli, ::testing::ValuesIn(kFolderWriters), name_of);

TEST_P(FolderPlacesCli, IsMadeWithTheFoldersAboveIt) {
  const Outcome outcome = write("new/er/" + file() + "/");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_FALSE(fs::is_empty(path("new/er/" + file())));
}

TEST_P(FolderPlacesCli, ALinkStays) {
  fs::create_directory_symlink("far", path("link"));
  const Outcome outcome = write("link");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_FALSE(fs::is_empty(path("far")));
}

TEST_P(FolderPlacesCli, APlaceThatCannotBeWrittenIsAnErrorBeforeTheWork) {
  write_file(path("file"), "kept");
  for (const char* place : {"file", "file/below", "/dev/null", "/proc/new"}) {
    const Outcome outcome = write_without_work(place);
    expect_failure(outcome, 1, {"cannot write", place});
    EXPECT_THAT(outcome.err, ::testing::Not(HasSubstr("no model")));
  }
  EXPECT_EQ(text("file"), "kept");
}

class PictureNames : public CliTest {};

TEST_F(PictureNames, SayTheFormat) {
  save("model", constant_model({0, 1, 2}, {"ant", "bee", "cat"}));
  write_image("photo.png", {10, 100, 200});
  for (const auto& [name, format] : {std::pair("s.png", "png"), {"s.jpg", "jpeg"}, {"s", "png"}}) {
    ASSERT_EQ(nestvit(fmt::format("predict --model model photo.png --sheet {}", name)).code, 0);
    EXPECT_EQ(probe_image(read_file(path(name)), name).format, format);
  }
  const Image png = read_image(path("s.png"), {}), jpeg = read_image(path("s.jpg"), {});
  EXPECT_EQ(png.width, jpeg.width);
  EXPECT_NEAR(png.pixels[0], jpeg.pixels[0], 8);
  expect_failure(nestvit("predict --model absent photo.png --sheet s.webp"), 2, {"s.webp", ".jpg"});
#ifdef NESTVIT_HAS_TRAIN
  expect_failure(nestvit("data preview absent --output grid.gif"), 2, {"grid.gif", ".jpg"});
#endif
}

}  // namespace
}  // namespace nestvit::testing
