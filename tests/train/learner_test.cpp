// Steps of the learner: accumulation over batches, and the state that a resumed run needs.
#include "train/learner.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "image/augment/mix.h"
#include "support/near_tensors.h"
#include "train/network/tensors.h"
#include "train/tiny_recipe.h"

namespace nestvit::train {
namespace {

using testing::learn;
using testing::random_batch;
using testing::random_weights;
using testing::tiny;

Batch joined(const Batch& a, const Batch& b) {
  Batch both = a;
  both.size += b.size;
  both.images.insert(both.images.end(), b.images.begin(), b.images.end());
  both.labels.insert(both.labels.end(), b.labels.begin(), b.labels.end());
  return both;
}

TEST(Accumulation, IsTheStepOfOneLargeBatch) {
  const Recipe whole = tiny(8, {{"optim", "sgd"}});
  const Recipe halves = tiny(4, {{"optim", "sgd"}, {"grad_accum_steps", "2"}});
  Learner one(whole), two(halves);
  one.start(random_weights(whole));
  two.start(random_weights(whole));
  for (int64_t step = 1; step <= 3; ++step) {
    const Batch a = random_batch(4, 2 * step), b = random_batch(4, 2 * step + 1);
    learn(one, {joined(a, b)}, step, 0.1);
    learn(two, {a, b}, step, 0.1);
  }
  const TensorMap expected = one.model_tensors(), got = two.model_tensors();
  for (const auto& [name, tensor] : expected)  // the same sums in another order, three times
    testing::expect_near(to_torch(got.at(name)), to_torch(tensor), 1e-5, name, 1e-7);
}

// Images that were left out do not count: the mean is over those that are there.
TEST(Accumulation, AveragesOverTheImagesThatAreThere) {
  const Recipe whole = tiny(6, {{"optim", "sgd"}});
  const Recipe gaps = tiny(4, {{"optim", "sgd"}, {"grad_accum_steps", "3"}});
  Learner one(whole), three(gaps);
  one.start(random_weights(whole));
  three.start(random_weights(whole));
  const Batch a = random_batch(4, 1), b = random_batch(2, 2);
  one.add(joined(a, b), one_hot(joined(a, b).labels, 4), 1);
  three.add(a, one_hot(a.labels, 4), 1);
  three.add(b, one_hot(b.labels, 4), 2);  // and a third of which nothing could be read
  const auto expected = one.update(1, 0.1), got = three.update(1, 0.1);
  ASSERT_TRUE(expected && got);
  EXPECT_EQ(got->images, 6);
  EXPECT_NEAR(got->loss, expected->loss, 1e-5);
  EXPECT_NEAR(got->gradient_norm, expected->gradient_norm, 1e-5 * expected->gradient_norm);
  EXPECT_FALSE(three.update(2, 0.1)) << "no image at all";
}

TEST(Learner, StateOfEveryKindReturns) {
  const Recipe r = tiny(4, {{"model_ema", "true"}, {"amp", "fp16"}});
  Learner first(r);
  first.start(random_weights(r));
  learn(first, {random_batch(4, 1)}, 1, 0.01);
  Learner second(r);
  second.resume(first.model_tensors(), first.state());
  for (Learner* learner : {&first, &second}) learn(*learner, {random_batch(4, 2)}, 2, 0.01);
  EXPECT_EQ(first.loss_scale(), second.loss_scale());
  const TensorMap a = first.model_tensors(), b = second.model_tensors();
  for (const auto& [name, tensor] : a) EXPECT_EQ(tensor.to_f32(), b.at(name).to_f32()) << name;
  TensorMap damaged = first.state();
  damaged.erase("loss_scale");
  EXPECT_THROW(second.resume(first.model_tensors(), damaged), Error);
}

}  // namespace
}  // namespace nestvit::train
