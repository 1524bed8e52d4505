// The start-up print of nestvit train: everything that is in force.
#pragma once

#include "cli/verbs/train/prepare.h"

namespace nestvit::cli {

void announce(const Prepared& prepared);

}  // namespace nestvit::cli
