// Tables of scripts/make_unicode_tables.py; unicode.h says what they mean.
#pragma once

#include <cstdint>

namespace mbt {

struct CodePointRange {
  uint32_t first, last;
};
struct CodePointLower {
  uint32_t code_point;
  const char* lower;
};

extern const uint32_t kCategoryRuns[];
extern const int kCategoryRunsCount;
extern const CodePointRange kSpace[], kWordDifference[], kDigitDifference[], kPunctuation[], kUnknownToNormalizer[];
extern const int kSpaceCount, kWordDifferenceCount, kDigitDifferenceCount, kPunctuationCount, kUnknownToNormalizerCount;
extern const CodePointLower kLower[];
extern const int kLowerCount;

}  // namespace mbt
