// Pictures: what must be seen is there. How they look is for eyes.
#include "report/picture.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>

#include "image/codecs/codec.h"
#include "support/temp_dir.h"

namespace nestvit {
namespace {

using Rgb = std::array<uint8_t, 3>;

class Picture : public ::testing::Test {
 protected:
  Image read() const { return read_image(path_, {}); }
  const testing::TempDir folder_;
  const std::filesystem::path path_ = folder_ / "picture.png";
};

int count(const Image& image, Rgb colour) {
  int found = 0;
  for (size_t i = 0; i < image.pixels.size(); i += 3)
    found += std::equal(colour.begin(), colour.end(), image.pixels.begin() + static_cast<long>(i));
  return found;
}

Rgb at(const Image& image, int y, int x) {
  const size_t i = (static_cast<size_t>(y) * image.width + x) * 3;
  return {image.pixels[i], image.pixels[i + 1], image.pixels[i + 2]};
}

AnsweredImage card(Image image, std::string truth, std::vector<Answer> answers) {
  return {std::move(image), "picture.png", std::move(truth), std::move(answers)};
}

Image plain(int height, int width, Rgb colour) {
  Image image{height, width, 3, std::vector<uint8_t>(static_cast<size_t>(height) * width * 3)};
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = colour[i % 3];
  return image;
}

// Colours that nothing else on a sheet has.
constexpr Rgb kMagenta{255, 0, 255}, kCyan{0, 255, 255};

TEST_F(Picture, TinyImagesKeepSharpPixels) {
  Image image = plain(2, 2, kMagenta);
  for (size_t i = 0; i < 3; ++i) image.pixels.at(i) = kCyan[i];  // one of four pixels
  write_answer_sheet(path_, {card(image, "", {{"a", 1}})});
  const Image sheet = read();
  const int cyan = count(sheet, kCyan), magenta = count(sheet, kMagenta);
  EXPECT_GT(cyan, 100 * 100);
  EXPECT_EQ(magenta, 3 * cyan);  // no blended pixel between them
}

TEST_F(Picture, GreyAndLargeImagesFit) {
  Image grey{300, 1000, 1, std::vector<uint8_t>(300 * 1000, 77)};
  write_answer_sheet(path_, {card(grey, "", {{"a", 1}}), card(plain(2000, 3, kCyan), "", {})}, 2);
  const Image sheet = read();
  EXPECT_GT(count(sheet, {77, 77, 77}), 200 * 60);
  EXPECT_LT(sheet.width, 700);
}

TEST_F(Picture, GridGrowsWithTheImages) {
  const std::vector<Answer> answers = {{"a", 0.7}, {"b", 0.3}};
  const std::vector<AnsweredImage> images(5, card(plain(8, 8, kCyan), "", answers));
  write_answer_sheet(path_, {images[0]}, 2);
  const Image one = read();
  write_answer_sheet(path_, images, 2);
  const Image five = read();
  EXPECT_GT(five.width, one.width * 3 / 2);
  EXPECT_GT(five.height, one.height * 5 / 2);
  EXPECT_EQ(count(five, kCyan), 5 * count(one, kCyan));
}

// As `predict --topk 21841 --sheet` gives them.
TEST_F(Picture, ACardShowsTheBestAnswersOfMany) {
  std::vector<Answer> answers(kMaxCardAnswers, {"a", 0.01});
  write_answer_sheet(path_, {card(plain(8, 8, kCyan), "", answers)});
  const Image few = read();
  answers.resize(21'841, {"b", 0});
  write_answer_sheet(path_, {card(plain(8, 8, kCyan), "", answers)});
  EXPECT_EQ(read().pixels, few.pixels);
}

// The bar of the first answer is of the same length in all three; only its colour may differ.
TEST_F(Picture, FirstAnswerShowsRightWrongUnknown) {
  const auto strongest = [this](const std::string& truth) {
    write_answer_sheet(path_, {card(plain(1, 1, {255, 255, 255}), truth, {{"cat", 1}})});
    const Image sheet = read();
    std::map<Rgb, int> saturated;
    for (int y = 0; y < sheet.height; ++y)
      for (int x = 0; x < sheet.width; ++x) {
        const Rgb c = at(sheet, y, x);
        const auto [low, high] = std::minmax_element(c.begin(), c.end());
        if (*high - *low > 80) ++saturated[c];
      }
    EXPECT_FALSE(saturated.empty());
    const auto best =
        std::max_element(saturated.begin(), saturated.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    return std::max_element(best->first.begin(), best->first.end()) - best->first.begin();
  };
  EXPECT_EQ(strongest("cat"), 1);  // green
  EXPECT_EQ(strongest("dog"), 0);  // red
  EXPECT_EQ(strongest(""), 2);     // blue
}

TEST_F(Picture, AnyTextIsDrawn) {
  AnsweredImage odd =
      card(plain(4, 4, kCyan), "tru\xff", {{"a\xc3", 0.5}, {"", -1}, {"\xed\xa0\x80", 2}});
  odd.title = std::string(5000, 'w') + "\n\x01";
  write_answer_sheet(path_, {odd});
  EXPECT_GT(count(read(), kCyan), 0);
}

TEST_F(Picture, TooManyImagesAreAnErrorNotACrash) {
  const std::vector<AnsweredImage> images(200, card(plain(1, 1, kCyan), "", {}));
  EXPECT_THROW(write_answer_sheet(path_, images, 1), Error);
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_THROW(write_answer_sheet(path_, {}), Error);
}

TEST_F(Picture, ConfusionShowsDiagonalBlueAndMistakesRed) {
  // class b is always taken for a; large counts of white text do not hide the cell's corner
  Confusion confusion(2);
  confusion.add(0, 0, 9);
  confusion.add(1, 0, 9);
  write_confusion_picture(path_, confusion, {"a", "b"});
  const Image picture = read();
  int blue = 0, red = 0;
  for (int y = 0; y < picture.height; ++y)
    for (int x = 0; x < picture.width; ++x) {
      const Rgb c = at(picture, y, x);
      blue += c[2] > c[0] + 80;
      red += c[0] > c[2] + 80;
    }
  EXPECT_GT(blue, 1000);
  EXPECT_NEAR(red, blue, blue / 5);
}

TEST_F(Picture, ConfusionOfAnySizeIsWritten) {
  for (const int classes : {1, 2, 13, 31, 120, 700, kMaxMatrixClasses}) {
    Confusion confusion(classes);
    for (int i = 0; i < classes; i += 2) confusion.add(i, i, 1'000'000'000);
    write_confusion_picture(path_, confusion,
                            std::vector<std::string>(classes, "a rather long class name, really"));
    const Image picture = read();
    EXPECT_GE(picture.width, classes * 2);
    EXPECT_LE(picture.width, 2500);
  }
}

// Every class but one is always right: the one that is not must be among those shown.
TEST_F(Picture, ConfusionOfManyClassesShowsTheMostConfused) {
  constexpr int kClasses = 100'000;
  const std::vector<std::string> names(kClasses, "name");
  const auto red_cells = [&](const Confusion& confusion) {
    write_confusion_picture(path_, confusion, names);
    const Image picture = read();
    EXPECT_LE(picture.width, 1600);
    EXPECT_LE(picture.height, 1600);
    int red = 0;
    for (int y = 0; y < picture.height; ++y)
      for (int x = 0; x < picture.width; ++x)
        red += at(picture, y, x)[0] > at(picture, y, x)[2] + 80;
    return red;
  };
  Confusion confusion(kClasses);
  for (int i = 0; i < kClasses; ++i) confusion.add(i, i, 100);
  EXPECT_EQ(red_cells(confusion), 0);
  confusion.add(70'000, 80'000, 300);
  EXPECT_GT(red_cells(confusion), 50);
  EXPECT_EQ(red_cells(Confusion(kClasses)), 0);
}

}  // namespace
}  // namespace nestvit
