// nestvit data: looking at data before training on it.
#include <memory>

#include "cli/program/options.h"
#include "cli/program/verb.h"
#include "cli/verbs/data/augment.h"
#include "cli/verbs/data/check.h"

namespace nestvit::cli {

Verb data_verb() {
  Verb verb;
  verb.name = "data";
  verb.summary =
      "Look at data before training: broken, doubled and odd images, and what augmentation makes.";
  verb.details =
      std::string("check DIR: ") + kDataCheckDetails +
      "\n\naugment --op NAME IN OUT: " + kDataAugmentDetails +
      "\n\npreview --output FILE.png: Draws what the network sees in training, by the "
      "recipe (nestvit-train).\n\n\"nestvit data ACTION --help\" lists the options of an action.";
  verb.examples = std::string(kDataCheckExamples) + "\n" + kDataAugmentExamples +
                  "\nnestvit data preview --config configs/cifar_nest.yaml "
                  "cifar-10-batches-bin --output grid.png";
  verb.declare = [](CLI::App& app, const Invocation& invocation) -> std::function<int()> {
    const auto action = std::make_shared<std::string>();
    add_choice(app, "ACTION", action.get(), {"check", "augment", "preview"},
               "What to do; comes first.", Need::kRequired);
    const std::string named = invocation.arguments.size() > 1 ? invocation.arguments[1] : "";
    // Recipes live in nestvit-train, and so do the options.
    if (named == "preview") exec_sibling("nestvit-train", invocation.arguments);
    if (named == "check") {
      const auto options = std::make_shared<DataCheckOptions>();
      add_data_check_options(app, options.get());
      return [action, options] { return data_check(*options); };
    }
    if (named == "augment") {
      const auto options = std::make_shared<DataAugmentOptions>();
      add_data_augment_options(app, options.get());
      return [action, options] { return data_augment(*options); };
    }
    // Only reached with the help, or for a word that the parser refuses.
    return [action] { return 2; };
  };
  return verb;
}

}  // namespace nestvit::cli
