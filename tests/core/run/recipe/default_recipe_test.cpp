// A recipe for any amount and size of images.
#include "run/recipe/default_recipe.h"

#include <gtest/gtest.h>
#include <nestvit/error.h>

#include "run/recipe/plan.h"
#include "run/recipe/resolve.h"
#include "support/recipes.h"

namespace nestvit {
namespace {

TEST(DefaultRecipe, DefaultsFitEveryAmountAndSizeOfImages) {
  for (const int64_t images : {5, 40, 999, 1000, 7000, 30000, 80000, 1281167})
    for (const int side : {8, 28, 32, 48, 64, 100, 200, 224, 4000}) {
      SCOPED_TRACE(::testing::Message() << images << " images of side " << side);
      const DataFacts f = facts("image folder", images, 3, side);
      Recipe recipe = default_recipe(f, 0);
      ASSERT_NO_THROW(resolve(recipe, f));
      EXPECT_NO_THROW(step_plan(recipe, images));
      EXPECT_LT(recipe.warmup_epochs, recipe.num_epochs);
      EXPECT_TRUE(recipe.preprocessing.exif_orientation);
      EXPECT_EQ(recipe.preprocessing.background, (std::array<uint8_t, 3>{255, 255, 255}));
    }
}

TEST(DefaultRecipe, DefaultsFitTheSizeThatIsAskedFor) {
  const DataFacts f = facts("image folder", 3000, 3, 500);
  for (const int size : {16, 28, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 384}) {
    Recipe recipe = default_recipe(f, size);
    EXPECT_NO_THROW(resolve(recipe, f)) << size;
    EXPECT_EQ(recipe.input_size, size);
  }
  Recipe odd = default_recipe(f, 61);
  EXPECT_THROW(resolve(odd, f), UsageError) << "a side that nothing divides";
}

}  // namespace
}  // namespace nestvit
