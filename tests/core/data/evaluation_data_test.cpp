// Which images a model is evaluated on: of the data that it was trained on, of other data, and what
// is said about it.
#include "data/evaluation_data.h"

#include <fmt/format.h>

#include "data/training_data.h"
#include "support/data/data_files.h"

namespace nestvit {
namespace {

using namespace testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class EvaluatedData : public ::testing::Test {
 protected:
  void SetUp() override { fill("data", 0); }
  // Two classes of ten pictures, all different.
  void fill(const std::string& root, int shade) const {
    for (const char* name : {"cat", "dog"})
      for (int i = 0; i < 10; ++i)
        folder.png(root + "/" + name + "/" + std::to_string(i) + ".png",
                   static_cast<uint8_t>(shade++));
  }
  DatasetOptions at(const std::string& root) const {
    DatasetOptions options;
    options.root = folder / root;
    return options;
  }
  // Of a training on `root` with a share and seed that nobody would guess.
  TrainingRecord trained_on(const std::string& root) const {
    DatasetOptions options = at(root);
    options.val_share = 0.3;
    options.seed = 7;
    const auto train = open_dataset(options);
    options.split = "val";
    const auto val = open_dataset(options);
    return record_of(*train, *val, train->classes(), options);
  }
  static std::set<std::string> names(const Dataset& images) {
    std::set<std::string> all;
    for (int64_t i = 0; i < images.size(); ++i) all.insert(images.name(i));
    return all;
  }
  std::set<std::string> share(const std::string& root, const std::string& split, double val_share,
                              uint64_t seed) const {
    DatasetOptions options = at(root);
    options.split = split;
    options.val_share = val_share;
    options.seed = seed;
    return names(*open_dataset(options));
  }
  EvaluationData open(const std::string& root, const std::optional<TrainingRecord>& record,
                      const SplitRequest& request = {}) {
    ::testing::internal::CaptureStderr();
    EvaluationData data = open_evaluation_data(
        at(root), request, record, [](const Dataset& images) { return images.classes(); });
    said_ = ::testing::internal::GetCapturedStderr();
    return data;
  }

  DataDir folder;
  std::string said_;
};

TEST_F(EvaluatedData, OfTheTrainingDataWhatWasHeldOut) {
  const EvaluationData data = open("data", trained_on("data"));
  EXPECT_EQ(data.part, "held out");
  EXPECT_EQ(names(*data.images), share("data", "val", 0.3, 7));
  EXPECT_THAT(said_,
              AllOf(HasSubstr("the 6 of 20 images that its training held out"),
                    HasSubstr("30 % of each class, drawn with seed 7"), Not(HasSubstr("warning"))));
  fill("moved", 0);
  EXPECT_EQ(open("moved", trained_on("data")).part, "held out") << "wherever it lies";
}

TEST_F(EvaluatedData, OfOtherDataAllOfIt) {
  fill("other", 100);
  folder.png("other/cat/more.png");
  const EvaluationData data = open("other", trained_on("data"));
  EXPECT_EQ(data.part, "all");
  EXPECT_EQ(data.images->size(), 21);
  EXPECT_THAT(said_, AllOf(HasSubstr("all 21 images"), HasSubstr("other files"),
                           Not(HasSubstr("warning"))));
}

// As two cameras name their pictures.
TEST_F(EvaluatedData, OfOtherPicturesUnderTheSameNamesAllOfThem) {
  fill("other", 100);
  EXPECT_EQ(open("other", trained_on("data")).images->size(), 20);
  EXPECT_THAT(said_, HasSubstr("other pictures under the names"));
}

TEST_F(EvaluatedData, TrainingDataThatHasChangedIsWarnedOf) {
  fill("more", 0);
  folder.png("more/cat/more.png");
  EXPECT_EQ(open("more", trained_on("data")).images->size(), 21);
  EXPECT_THAT(said_, AllOf(HasSubstr("warning"), HasSubstr("trained on some of them"),
                           HasSubstr("--split val")));
  open("more", trained_on("data"), {.split = "val"});
  EXPECT_THAT(said_, HasSubstr("30 % of each class, drawn with seed 7"));
}

TEST_F(EvaluatedData, AModelWithoutARecordCannotTell) {
  const EvaluationData data = open("data", std::nullopt);
  EXPECT_EQ(data.images->size(), 20);
  EXPECT_THAT(said_, AllOf(HasSubstr("warning"), HasSubstr("does not say what it was trained on"),
                           HasSubstr("--val-share and --seed")));
  // A folder that is called so is meant for it.
  fill("set/val", 100);
  for (const char* root : {"set/val", "set/val/"}) {
    EXPECT_EQ(open(root, std::nullopt).images->size(), 20);
    EXPECT_THAT(said_, AllOf(HasSubstr("all 20 images"), Not(HasSubstr("warning"))));
  }
}

TEST_F(EvaluatedData, APartThatIsAskedForIsTaken) {
  const auto record = trained_on("data");
  EXPECT_EQ(names(*open("data", std::nullopt, {.split = "val"}).images),
            share("data", "val", 0.2, 42));
  EXPECT_EQ(names(*open("data", std::nullopt, {.seed = 7}).images), share("data", "val", 0.2, 7));
  EXPECT_EQ(names(*open("data", std::nullopt, {.val_share = 0.3, .seed = 7}).images),
            share("data", "val", 0.3, 7));
  EXPECT_THAT(said_, HasSubstr("30 % of each class, drawn with seed 7"));
  // What is left open is the model's.
  EXPECT_EQ(names(*open("data", record, {.split = "train"}).images),
            share("data", "train", 0.3, 7));
  EXPECT_THAT(said_, Not(HasSubstr("warning"))) << "asked for";
  EXPECT_EQ(names(*open("data", record, {.val_share = 0.5}).images), share("data", "val", 0.5, 7));
  EXPECT_EQ(open("data", record, {.val_share = 1}).images->size(), 20);
  EXPECT_THAT(said_, AllOf(HasSubstr("all 20 images"), HasSubstr("accuracy is too high")));
  expect_error([&] { open("data", record, {.split = "test"}); }, {"no folder 'test'"});
  ::testing::internal::GetCapturedStderr();
}

TEST_F(EvaluatedData, AFolderThatIsCalledLikeTheSplitIsAllOfIt) {
  fill("set/val", 100);
  fill("set/train", 0);
  EXPECT_EQ(open("set/val", std::nullopt, {.split = "validation"}).images->size(), 20);
  EXPECT_EQ(open("set/train", std::nullopt, {.split = "train"}).images->size(), 20);
  EXPECT_EQ(open("set/val", std::nullopt, {.split = "train"}).images->size(), 16);
}

TEST_F(EvaluatedData, PartsOfTheDataAreKept) {
  fill("set/train", 0);
  fill("set/val", 100);
  const auto record = trained_on("set");
  EXPECT_EQ(open("set", record).images->size(), 20);
  EXPECT_THAT(said_, IsEmpty());
  EXPECT_EQ(open("set", std::nullopt).part, "val");
  EXPECT_THAT(said_, IsEmpty());
  EXPECT_THAT(open("set", record, {.split = "train"}).images->name(0), HasSubstr("set/train"));
  open("set", record, {.val_share = 0.5});
  EXPECT_THAT(said_, HasSubstr("--val-share has no effect"));
  // Its parts by themselves.
  EXPECT_EQ(open("set/val", record).images->size(), 20);
  EXPECT_THAT(said_, Not(HasSubstr("warning")));
  EXPECT_EQ(open("set/train", record).images->size(), 20);
  EXPECT_THAT(said_, HasSubstr("the model was trained on some of them"));
}

TEST_F(EvaluatedData, ListsAreDividedLikewise) {
  std::string rows;
  for (const char* name : {"cat", "dog"})
    for (int i = 0; i < 10; ++i) rows += fmt::format("data/{0}/{1}.png,{0}\n", name, i);
  folder.text("list.csv", rows);
  const EvaluationData data = open("list.csv", trained_on("list.csv"));
  EXPECT_EQ(data.part, "held out");
  EXPECT_EQ(names(*data.images), share("list.csv", "val", 0.3, 7));
  EXPECT_EQ(open("list.csv", std::nullopt).images->size(), 20);
}

}  // namespace
}  // namespace nestvit
