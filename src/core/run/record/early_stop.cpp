// Counting evaluations without progress.
#include "run/record/early_stop.h"

namespace nestvit {

bool out_of_patience(const std::vector<SummaryRow>& history, int patience, double min_delta) {
  if (patience == 0) return false;
  double best = -1;  // below every top-1
  int waited = 0;
  for (const SummaryRow& row : history) {
    if (!row.eval_top1) continue;
    const bool better = best < 0 || *row.eval_top1 > best + min_delta;
    if (better) best = *row.eval_top1;
    waited = better ? 0 : waited + 1;
  }
  return waited >= patience;
}

}  // namespace nestvit
