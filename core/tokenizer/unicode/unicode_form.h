// Unicode's normal forms, by utf8proc where the build has it.
#pragma once

#include <string>
#include <string_view>

namespace mbt {

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };
/// As the package does it: with the characters that its version of Unicode (9.0) knows; all others stay where and as they are.
std::string to_unicode_form(std::string_view text, UnicodeForm form);
/// Whether this build has it (utf8proc).
bool has_unicode_forms();

}  // namespace mbt
