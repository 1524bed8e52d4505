// The verb `train` of nestvit-train.
#pragma once

#include <string>
#include <vector>

#include "cli/program/verb.h"

namespace nestvit::cli {

Verb train_verb();

// The argument forms of the official programs (absl) in the one that verbs take: --noconfig.KEY and
// a bare
// --config.KEY of a true-or-false key become --config.KEY=false and =true.
std::vector<std::string> plain_overrides(std::vector<std::string> arguments);

}  // namespace nestvit::cli
