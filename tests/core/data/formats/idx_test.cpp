// IDX files, plain and gzip: values, names of files, and hostile input.
#include "data/formats/idx.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::ElementsAre;

void write_mnist(const DataDir& folder, const std::string& under, int classes, bool packed) {
  const auto file = [&](const std::string& name, const Bytes& plain) {
    folder.bytes(under + name + (packed ? ".gz" : ""), packed ? gzip(plain) : plain);
  };
  file("train-images-idx3-ubyte", make_idx({20, 28, 28}));
  file("train-labels-idx1-ubyte", make_idx({20}, classes));
  file("t10k-images-idx3-ubyte", make_idx({6, 28, 28}));
  file("t10k-labels-idx1-ubyte", make_idx({6}, classes));
}

TEST(Idx, ReadsPlainAndPackedAlike) {
  for (bool packed : {false, true}) {
    DataDir folder;
    write_mnist(folder, "", 10, packed);
    const auto train = open(folder.path()), val = open(folder.path(), "val"),
               test = open(folder.path(), "test");
    EXPECT_EQ(train->kind(), "idx");
    EXPECT_EQ(train->size(), 20);
    EXPECT_EQ(val->size(), 6);
    EXPECT_EQ(test->size(), 6);
    const Sample sample = train->get(3);
    EXPECT_EQ(sample.image.height, 28);
    EXPECT_EQ(sample.image.width, 28);
    EXPECT_EQ(sample.image.channels, 1);
    EXPECT_TRUE(sample.encoded.empty());
    ASSERT_EQ(sample.image.pixels.size(), 784u);
    for (int p = 0; p < 784; ++p)
      ASSERT_EQ(sample.image.pixels[p], ((3 * 784 + p) * 7 + 1) % 256) << p;
    EXPECT_EQ(sample.label, (3 * 7 + 1) % 10);
    EXPECT_EQ(train->label(3), sample.label);
    EXPECT_EQ(sample.name, "train/3");
    EXPECT_THROW(train->get(20), std::out_of_range);
  }
}

TEST(Idx, FindsTorchvisionsFolders) {
  DataDir folder;
  write_mnist(folder, "FashionMNIST/raw/", 10, true);
  const auto dataset = open(folder.path());
  EXPECT_EQ(dataset->kind(), "fashion-mnist");
  EXPECT_EQ(dataset->classes().at(9), "Ankle boot");
}

TEST(Idx, NamesClasses) {
  DataDir folder;
  write_mnist(folder, "", 3, false);
  EXPECT_THAT(open(folder.path())->classes(), ElementsAre("0", "1", "2"));
  EXPECT_EQ(open(folder.path(), "train", "fashion-mnist")->classes().size(), 10u);
  DatasetOptions options;
  options.root = folder.path();
  options.class_map = folder.text("map.txt", "a\nb\nc\n");
  EXPECT_THAT(open_dataset(options)->classes(), ElementsAre("a", "b", "c"));
  folder.text("map.txt", "a\nb\n");
  expect_error([&] { open_dataset(options); }, {"map.txt has 2 lines", "has 3 classes"});
}

TEST(Idx, ClassesOfBothPartsAgree) {
  DataDir folder;
  write_mnist(folder, "", 10, false);
  folder.bytes("t10k-labels-idx1-ubyte", make_idx({6}, 2));
  EXPECT_EQ(open(folder.path(), "val")->classes().size(), 10u);
}

TEST(Idx, ExplainsWhatIsWrong) {
  DataDir folder;
  expect_error([&] { open(folder.path(), "train", "idx"); },
               {folder.path().string(), "train-images-idx3-ubyte"});
  write_mnist(folder, "", 12, false);
  expect_error([&] { open(folder.path(), "train", "fashion-mnist"); }, {"label 11", "0 to 9"});
  folder.bytes("train-labels-idx1-ubyte", make_idx({19}, 12));
  expect_error([&] { open(folder.path()); }, {"19 labels for 20 images"});
  folder.bytes("train-labels-idx1-ubyte", make_idx({20}, 1));
  folder.bytes("t10k-labels-idx1-ubyte", make_idx({6}, 1));
  expect_error([&] { open(folder.path()); }, {"only one class"});
  fs::remove(folder.path() / "train-labels-idx1-ubyte");
  expect_error([&] { open(folder.path()); }, {"no train-labels-idx1-ubyte"});
}

TEST(IdxHostile, TruncatedAtEveryLength) {
  const Bytes plain = make_idx({3, 4, 5});
  for (const Bytes& whole : {plain, gzip(plain)}) {
    EXPECT_EQ(parse_idx(whole, 3, "x").dims, (std::vector<int64_t>{3, 4, 5}));
    for (size_t length = 0; length < whole.size(); ++length)
      EXPECT_THROW(parse_idx(std::span(whole).first(length), 3, "x"), Error) << length;
  }
  Bytes longer = plain;
  longer.push_back(std::byte{0});
  EXPECT_THROW(parse_idx(longer, 3, "x"), Error);
  EXPECT_THROW(parse_idx(gzip(longer), 3, "x"), Error);
}

TEST(IdxHostile, HugeCountsCostNoMemory) {
  for (uint32_t count : {0u, 0x7fffffffu, 0xffffffffu})
    for (uint32_t side : {0u, 4u, 16384u, 0xffffffffu}) {
      Bytes file = make_idx({1, 1, 1});
      for (int i = 0; i < 4; ++i) {
        file[4 + i] = static_cast<std::byte>(count >> (24 - 8 * i) & 255);
        file[8 + i] = file[12 + i] = static_cast<std::byte>(side >> (24 - 8 * i) & 255);
      }
      EXPECT_THROW(parse_idx(file, 3, "x"), Error) << count << " " << side;
      EXPECT_THROW(parse_idx(gzip(file), 3, "x"), Error) << count << " " << side;
    }
}

TEST(IdxHostile, WrongTypesAndRanks) {
  Bytes file = make_idx({2, 2, 2});
  expect_error([&] { parse_idx(file, 1, "labels.idx"); },
               {"labels.idx", "0x00000803", "0x00000801"});
  file[2] = std::byte{0x0d};  // float
  expect_error([&] { parse_idx(file, 3, "x"); }, {"0x00000d03"});
}

TEST(IdxHostile, BrokenGzip) {
  const Bytes whole = gzip(make_idx({3, 4, 5}));
  // Every changed byte after the ten of the gzip header is noticed: deflate data or checksum.
  for (size_t at = 10; at < whole.size(); ++at) {
    Bytes broken = whole;
    broken[at] ^= std::byte{0x55};
    EXPECT_THROW(parse_idx(broken, 3, "x"), Error) << at;
  }
}

}  // namespace
}  // namespace nestvit
