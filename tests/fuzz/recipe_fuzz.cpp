// Fuzzes recipes: any YAML is a recipe that is written and read back the same and either makes a
// run or is refused, or an Error.
#include <nestvit/error.h>

#include <cstdint>
#include <cstdlib>

#include "run/recipe/plan.h"
#include "run/recipe/resolve.h"

namespace {

std::string yaml(nestvit::Recipe recipe) { return fields(recipe).to_yaml(); }

nestvit::Recipe recipe_of(const std::string& text) {
  nestvit::Settings settings;
  settings.origin = "fuzz";
  settings.yaml = text;
  return apply(nestvit::Recipe(), settings);
}

void check_round_trip(const nestvit::Recipe& recipe) {
  const nestvit::Recipe again = recipe_of(yaml(recipe));
  if (yaml(again) != yaml(recipe) || digest(again) != digest(recipe)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nestvit::DataFacts facts;
  facts.kind = "image folder";
  facts.train_size = 5000;
  facts.val_size = 1000;
  facts.num_classes = 10;
  facts.short_side = 64;
  nestvit::Recipe recipe;
  try {
    recipe = recipe_of({reinterpret_cast<const char*>(data), size});
  } catch (const nestvit::Error&) {
    return 0;
  }
  check_round_trip(recipe);
  try {
    resolve(recipe, facts);
  } catch (const nestvit::Error&) {
    return 0;
  }
  check_round_trip(recipe);
  try {
    const nestvit::StepPlan plan = step_plan(recipe, facts.train_size);
    if (plan.per_epoch < 1 || plan.per_evaluation < 1 || plan.per_evaluation > plan.total)
      std::abort();
    schedule_of(recipe, plan).at(plan.total);
  } catch (const nestvit::Error&) {
  }
  return 0;
}
