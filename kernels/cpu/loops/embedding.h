// Token and position embeddings; contracts in core/ops/embedding.h.
#pragma once

#include "core/ops/embedding.h"
#include "kernels/cpu/level.h"

MBT_LEVELS(void embedding_fwd(const EmbeddingFwdArgs& args); void embedding_bwd(const EmbeddingBwdArgs& args);)
