// The verbs: one function each makes what a program's table holds. train is in verbs/train.
#pragma once

#include "cli/program/verb.h"

namespace nestvit::cli {

// Verbs that both programs have.
Verb eval_verb(const ForwardEngine& engine);
Verb run_verb(const ForwardEngine& engine);
// Verbs of nestvit.
Verb predict_verb(const ForwardEngine& engine);
Verb bench_verb();
Verb convert_verb();
Verb data_verb();
Verb doctor_verb(const ForwardEngine& engine);
Verb explain_verb();
Verb inspect_verb();
Verb preprocess_verb();
Verb pull_verb();
Verb quantize_verb();

}  // namespace nestvit::cli
