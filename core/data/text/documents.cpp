#include "core/data/text/documents.h"

namespace mbt {

std::vector<int32_t> document_starts(const DocumentRules& rules, const Sample& sample) {
  if (!sample.document_start.empty()) return sample.document_start;
  std::vector<int32_t> starts(sample.loss_mask.size());
  int32_t start = 0;
  for (size_t t = 0; t < starts.size(); ++t) {
    starts[t] = start;
    if (rules.eod && sample.tokens[t] == *rules.eod) start = static_cast<int32_t>(t) + 1;
  }
  return starts;
}

void mask_ends(const DocumentRules& rules, Sample& sample) {
  if (!rules.eod_mask_loss || !rules.eod) return;
  for (size_t t = 0; t < sample.loss_mask.size(); ++t)
    if (sample.tokens[t] == *rules.eod) sample.loss_mask[t] = 0.0F;
}

}  // namespace mbt
