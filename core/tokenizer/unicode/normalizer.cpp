#include "core/tokenizer/unicode/normalizer.h"

#include <utility>

#include "core/base/error.h"
#include "core/tokenizer/bpe/json_fields.h"
#include "core/tokenizer/pattern/regex.h"
#include "core/tokenizer/unicode/unicode_form.h"

namespace mbt {

namespace {

using nlohmann::json;

constexpr std::pair<const char*, UnicodeForm> kForms[] = {
    {"NFC", UnicodeForm::nfc}, {"NFD", UnicodeForm::nfd}, {"NFKC", UnicodeForm::nfkc}, {"NFKD", UnicodeForm::nfkd}};

std::string replace_all(std::string_view text, const std::string& what, const std::string& with) {
  std::string out;
  size_t at = 0;
  for (size_t found; (found = text.find(what, at)) != std::string_view::npos; at = found + what.size()) {
    out += text.substr(at, found - at);
    out += with;
  }
  return out += text.substr(at);
}

std::string replace_matches(std::string_view text, const Regex& what, const std::string& with) {
  std::string out;
  size_t at = 0, begin = 0, end = 0;
  for (size_t from = 0; from <= text.size() && what.find(text, from, begin, end);) {
    out += text.substr(at, begin - at);
    if (end > begin) out += with;
    at = from = end;
    if (end == begin) {
      if (end == text.size()) break;
      next_code_point(text, from);
    }
  }
  return out += text.substr(at);
}

}  // namespace

Normalizer::Normalizer(const json& section, const std::string& where) { add(section, where); }

void Normalizer::add(const json& section, const std::string& where) {
  JsonFields fields(section, where);
  const std::string type = fields.type();
  for (const auto& [name, form] : kForms) {
    if (type != name) continue;
    if (!has_unicode_forms()) {
      fields.refuse("type",
                    type +
                        " needs utf8proc, which this build is without; install libutf8proc-dev (scripts/setup.sh does) and build with "
                        "-DMBT_UTF8PROC=ON");
    }
    steps_.emplace_back([form = form](std::string_view text) { return to_unicode_form(text, form); });
    return fields.refuse_others();
  }
  if (type == "Sequence") {
    const json& parts = fields.array("normalizers");
    fields.refuse_others();
    for (size_t i = 0; i < parts.size(); ++i) add(parts[i], fmt::format("{}.normalizers[{}]", where, i));
  } else if (type == "Lowercase") {
    steps_.emplace_back(lowercase);
  } else if (type == "Prepend") {
    steps_.emplace_back(
        [what = fields.string("prepend")](std::string_view text) { return text.empty() ? std::string() : what + std::string(text); });
  } else if (type == "Replace") {
    JsonFields pattern(fields.object("pattern"), fields.where("pattern"));
    const std::string content = fields.string("content");
    if (pattern.find("String") != nullptr) {
      const std::string what = pattern.string("String");
      if (what.empty()) pattern.refuse("String", "is empty");
      steps_.emplace_back([what, content](std::string_view text) { return replace_all(text, what, content); });
    } else {
      steps_.emplace_back([regex = Regex(pattern.string("Regex"), pattern.where("Regex")), content](std::string_view text) {
        return replace_matches(text, regex, content);
      });
    }
    pattern.refuse_others();
  } else {
    fields.refuse("type", shown_json(type) + "; expected NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace or Sequence");
  }
  fields.refuse_others();
}

std::string Normalizer::apply(std::string_view text) const {
  std::string result(text);
  for (const auto& step : steps_) result = step(result);
  return result;
}

}  // namespace mbt
