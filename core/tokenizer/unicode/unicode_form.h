// Unicode's normal forms, by utf8proc where the build has it.
#pragma once

#include <string>
#include <string_view>

namespace mbt {

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };
/// Normalizes as the `tokenizers` package does: only characters of its Unicode version (9.0) change; all others stay in place unchanged.
std::string to_unicode_form(std::string_view text, UnicodeForm form);
/// Whether this build has it (utf8proc).
bool has_unicode_forms();

}  // namespace mbt
