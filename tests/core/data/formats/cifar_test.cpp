// CIFAR-10 and CIFAR-100 binary files: pixels, labels, folders, and hostile input.
#include "data/formats/cifar.h"

#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;

void write_cifar10(const DataDir& folder, const std::string& under) {
  for (int i = 1; i <= 5; ++i)
    folder.bytes(under + "data_batch_" + std::to_string(i) + ".bin", make_cifar(10 + i, 1, 10));
  folder.bytes(under + "test_batch.bin", make_cifar(10, 1, 10));
}

TEST(Cifar, JoinsTheFiveTrainingFiles) {
  for (const std::string under : {"", "cifar-10-batches-bin/"}) {
    DataDir folder;
    write_cifar10(folder, under);
    const auto train = open(folder.path()), val = open(folder.path(), "validation");
    EXPECT_EQ(train->kind(), "cifar10");
    EXPECT_EQ(train->size(), 11 + 12 + 13 + 14 + 15);
    EXPECT_EQ(val->size(), 10);
    EXPECT_EQ(train->classes().size(), 10u);
    EXPECT_EQ(train->classes().front(), "airplane");
    for (int64_t i : {0, 10, 11, 22, 23, 64}) {
      const int64_t record = i < 11 ? i : i < 23 ? i - 11 : i < 36 ? i - 23 : i - 50;
      const Sample sample = train->get(i);
      EXPECT_EQ(sample.label, record % 10) << i;
      EXPECT_EQ(train->label(i), record % 10) << i;
      EXPECT_EQ(sample.name, "train/" + std::to_string(i));
      ASSERT_EQ(sample.image.pixels.size(), 3072u);
      for (int c = 0; c < 3; ++c) {
        EXPECT_EQ(sample.image.pixels[c], record + c) << i;  // planes became channels
        EXPECT_EQ(sample.image.pixels[3069 + c], record + c + 100) << i;
      }
    }
    EXPECT_THROW(train->get(65), std::out_of_range);
    EXPECT_THROW(train->label(-1), std::out_of_range);
  }
}

TEST(Cifar, ReadsFineLabelsOf100) {
  DataDir folder;
  folder.bytes("cifar-100-binary/train.bin", make_cifar(120, 2, 100));
  folder.bytes("cifar-100-binary/test.bin", make_cifar(5, 2, 100));
  const auto train = open(folder.path());
  EXPECT_EQ(train->kind(), "cifar100");
  EXPECT_EQ(train->get(99).label, 99);
  EXPECT_EQ(train->label(101), 1);
  EXPECT_EQ(train->get(101).image.pixels[1], 102);
  EXPECT_EQ(train->classes().at(17), "class 17");
  EXPECT_EQ(open(folder.path(), "test", "torch/cifar100")->size(), 5);
}

TEST(Cifar, ReadsNames) {
  DataDir folder;
  write_cifar10(folder, "");
  folder.text("batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  EXPECT_EQ(open(folder.path())->classes().back(), "j");
  folder.text("batches.meta.txt", "a\nb\n");
  expect_error([&] { open(folder.path()); }, {"batches.meta.txt", "2 class names", "10"});
}

TEST(Cifar, GoesOnWithoutAFile) {
  DataDir folder;
  folder.bytes("data_batch_1.bin", make_cifar(12, 1, 10));
  EXPECT_EQ(open(folder.path())->size(), 12);
  expect_error([&] { open(folder.path(), "val"); }, {"no test_batch.bin"});
}

TEST(Cifar, ExplainsWhatIsWrong) {
  DataDir folder;
  folder.text("data_batch_1", "pickle");
  expect_error([&] { open(folder.path(), "train", "torch/cifar10"); },
               {"data_batch_1.bin", "Python version"});
  expect_error([&] { open(folder.path()); }, {"Python version", "nestvit pull cifar10"});
  DataDir archive;
  archive.text("cifar-10-binary.tar.gz", "x");
  expect_error([&] { open(archive.path(), "train", "cifar10"); }, {"tar -xf"});
  expect_error([&] { open(archive.path()); }, {"no images", "1 .gz", "tar -xf"});
  DataDir above;
  above.text("cifar-10-batches-py/data_batch_1", "pickle");
  expect_error([&] { open(above.path()); }, {"Python version"});
  DataDir hundred;
  for (const char* name : {"meta", "train", "test"}) hundred.text(name, "pickle");
  expect_error([&] { open(hundred.path()); }, {"Python version", "nestvit pull cifar100"});
  DataDir matlab;
  matlab.text("data_batch_1.mat", "x");
  expect_error([&] { open(matlab.path()); }, {"MATLAB version"});
}

TEST(CifarHostile, EveryWrongLengthIsNoticed) {
  const Bytes whole = make_cifar(2, 1, 10);
  EXPECT_EQ(check_cifar(whole, CifarKind::kCifar10, "x"), 2);
  for (size_t length = 0; length < whole.size(); ++length)
    if (length != 3073) {
      EXPECT_THROW(check_cifar(std::span(whole).first(length), CifarKind::kCifar10, "x"), Error);
    }
  expect_error([&] { check_cifar(whole, CifarKind::kCifar100, "b.bin"); },
               {"b.bin", "6146 bytes", "3074"});
}

TEST(CifarHostile, LabelsOutOfRange) {
  Bytes file = make_cifar(3, 1, 10);
  file[2 * 3073] = std::byte{10};
  expect_error([&] { check_cifar(file, CifarKind::kCifar10, "b.bin"); },
               {"record 2", "label 10", "0 to 9"});
  Bytes fine = make_cifar(3, 2, 100);
  fine[3074 + 1] = std::byte{200};
  expect_error([&] { check_cifar(fine, CifarKind::kCifar100, "c.bin"); },
               {"record 1", "label 200", "0 to 99"});
}

}  // namespace
}  // namespace nestvit
