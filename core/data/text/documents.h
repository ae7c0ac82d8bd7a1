// How the ends of documents inside a sample affect loss, attention and positions: dataset.eod_mask_loss, reset_attention_mask and
// reset_position_ids, as upstream has them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/data/sample.h"

namespace mbt {

struct DocumentRules {
  std::optional<int32_t> eod;         ///< the token that ends a document: the next one begins behind it
  bool eod_mask_loss = false;         ///< what follows an end-of-document token is not in the loss
  bool reset_attention_mask = false;  ///< tokens attend to their own document alone
  bool reset_position_ids = false;    ///< positions count from the beginning of the document
};

/// Returns [seq_length] as Batch::document_start. When the sample has none, a new document begins after each `eod` among the inputs.
std::vector<int32_t> document_starts(const DocumentRules& rules, const Sample& sample);
/// Takes targets that follow an end of document out of the loss, if the rules say so.
void mask_ends(const DocumentRules& rules, Sample& sample);

}  // namespace mbt
