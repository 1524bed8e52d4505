// nestvit data preview: what the network sees in training, as a picture and as tensors. In
// nestvit-train, since recipes are.
#pragma once

#include "cli/program/verb.h"

namespace nestvit::cli {

// nestvit-train's `data`, whose one action is preview; nestvit hands over to it.
Verb data_preview_verb();

}  // namespace nestvit::cli
