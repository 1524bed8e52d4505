// Which images of an evaluation the run page shows.
#include "run/record/example_picks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "metrics/metrics.h"

namespace nestvit {
namespace {

constexpr int kClasses = 5;

// One image at a time, or all at once: the same is shown.
ExamplePicks shown(const std::vector<float>& logits, const std::vector<int>& labels, size_t batch) {
  ExamplePicks examples(std::ssize(labels));
  for (size_t first = 0; first < labels.size(); first += batch) {
    const size_t count = std::min(batch, labels.size() - first);
    std::vector<int64_t> indices;
    for (size_t i = 0; i < count; ++i) indices.push_back(static_cast<int64_t>(first + i));
    examples.add(std::span(logits).subspan(first * kClasses, count * kClasses),
                 std::span(labels).subspan(first, count), indices);
  }
  return examples;
}

TEST(ExamplePicks, ADozenSpreadEvenlyAndTheHighestLossesAmongTheWrong) {
  for (const int64_t images : {1, 5, 12, 13, 100, 1000}) {
    SCOPED_TRACE(images);
    Rng rng(1, Purpose::kTest, 0, static_cast<uint64_t>(images));
    std::vector<float> logits;
    std::vector<int> labels;
    for (int64_t i = 0; i < images; ++i) {
      labels.push_back(static_cast<int>(rng.below(kClasses)));
      for (int k = 0; k < kClasses; ++k)
        logits.push_back(static_cast<float>(rng.below(1000)) / 100);
    }
    const ExamplePicks examples = shown(logits, labels, 7);
    ASSERT_EQ(std::ssize(examples.samples()), std::min<int64_t>(images, ExamplePicks::kImages));
    for (size_t i = 0; i < examples.samples().size(); ++i)
      EXPECT_EQ(examples.samples()[i].index,
                images < ExamplePicks::kImages
                    ? static_cast<int64_t>(i)
                    : static_cast<int64_t>(i) * images / ExamplePicks::kImages);

    std::vector<double> losses;
    for (int64_t i = 0; i < images; ++i) {
      const auto row = std::span(logits).subspan(i * kClasses, kClasses);
      if (top_indices(row, 1)[0] != labels[i]) losses.push_back(cross_entropy(row, labels[i]));
    }
    std::sort(losses.rbegin(), losses.rend());
    losses.resize(std::min<size_t>(losses.size(), ExamplePicks::kImages));
    std::vector<double> found;
    for (const ShownImage& mistake : examples.mistakes()) {
      found.push_back(mistake.loss);
      const auto row = std::span(logits).subspan(mistake.index * kClasses, kClasses);
      ASSERT_EQ(mistake.answers.size(), 3U);
      EXPECT_EQ(mistake.answers[0].first, top_indices(row, 1)[0]);
      EXPECT_EQ(mistake.label, labels[mistake.index]);
    }
    EXPECT_EQ(found, losses);
    EXPECT_EQ(shown(logits, labels, 1).samples().size(), examples.samples().size());
  }
}

TEST(ExamplePicks, ABrokenModelIsShownToo) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const ExamplePicks examples = shown({nan, nan, nan, nan, nan, 9, 0, 0, 0, 0}, {1, 1}, 2);
  ASSERT_EQ(examples.mistakes().size(), 2U);
  EXPECT_EQ(examples.mistakes()[0].index, 0);
}

// Pieces of an evaluation, put together in order, are the whole one; ties and infinite losses too.
TEST(ExamplePicks, PiecesMakeTheWhole) {
  Rng rng(2, Purpose::kTest, 0, 0);
  constexpr int64_t kImages = 100;
  std::vector<float> logits;
  std::vector<int> labels;
  for (int64_t i = 0; i < kImages; ++i) {
    labels.push_back(static_cast<int>(rng.below(kClasses)));
    for (int k = 0; k < kClasses; ++k) logits.push_back(static_cast<float>(rng.below(4)));
  }
  logits[0] = std::numeric_limits<float>::quiet_NaN();
  const ExamplePicks whole = shown(logits, labels, kImages);
  ExamplePicks together(kImages);
  for (int64_t first = 0; first < kImages; first += 37) {
    const int64_t count = std::min<int64_t>(37, kImages - first);
    ExamplePicks piece(kImages);
    for (int64_t i = first; i < first + count; ++i)
      piece.add(std::span(logits).subspan(i * kClasses, kClasses), {&labels[i], 1}, {&i, 1});
    together.add_packed(piece.packed());
  }
  const auto same = [](const std::vector<ShownImage>& a, const std::vector<ShownImage>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].index, b[i].index);
      EXPECT_EQ(a[i].label, b[i].label);
      EXPECT_EQ(a[i].loss, b[i].loss);
    }
  };
  same(together.samples(), whole.samples());
  same(together.mistakes(), whole.mistakes());
}

}  // namespace
}  // namespace nestvit
