// nestvit data: looking at data before training on it.
#include <nestvit/error.h>

#include <memory>

#include "cli/program/options.h"
#include "cli/program/verb.h"
#include "cli/verbs/data/augment.h"
#include "cli/verbs/data/check.h"
#include "cli/verbs/data/preview.h"
#include "cli/verbs/verbs.h"

namespace nestvit::cli {
namespace {

// Only preview has a recipe.
void refuse_overrides(const Invocation& invocation) {
  if (!invocation.overrides.empty())
    throw UsageError("unknown option --config." + invocation.overrides.front().first);
}

}  // namespace

Verb data_verb() {
  Verb verb;
  verb.name = "data";
  verb.summary =
      "Look at data before training: broken, doubled and odd images, and what augmentation makes.";
  verb.details = std::string("check DIR: ") + kDataCheckDetails +
                 "\n\naugment --op NAME IN OUT: " + kDataAugmentDetails +
                 "\n\npreview DIR --output FILE.png: " + kDataPreviewDetails +
                 "\n\n\"nestvit data ACTION --help\" lists the options of an action.";
  verb.examples =
      std::string(kDataCheckExamples) + "\n" + kDataAugmentExamples + "\n" + kDataPreviewExamples;
  verb.overrides = true;
  verb.declare = [](CLI::App& app, const Invocation& invocation) -> std::function<int()> {
    const auto action = std::make_shared<std::string>();
    add_choice(app, "ACTION", action.get(), {"check", "augment", "preview"},
               "What to do; comes first.", Need::kRequired);
    const std::string named = invocation.arguments.size() > 1 ? invocation.arguments[1] : "";
    if (named == "check") {
      const auto options = std::make_shared<DataCheckOptions>();
      add_data_check_options(app, options.get());
      return [action, options, &invocation] {
        refuse_overrides(invocation);
        return data_check(*options);
      };
    }
    if (named == "augment") {
      const auto options = std::make_shared<DataAugmentOptions>();
      add_data_augment_options(app, options.get());
      return [action, options, &invocation] {
        refuse_overrides(invocation);
        return data_augment(*options);
      };
    }
    if (named == "preview") {
      const auto options = std::make_shared<DataPreviewOptions>();
      add_data_preview_options(app, options.get());
      return [action, options, &invocation] { return data_preview(*options, invocation); };
    }
    // Only reached with the help, or for a word that the parser refuses.
    return [action] { return 2; };
  };
  return verb;
}

}  // namespace nestvit::cli
