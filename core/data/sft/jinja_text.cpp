#include "core/data/sft/jinja_text.h"

#include <algorithm>

namespace mbt {
namespace {

constexpr std::string_view kWhite = " \t\r\n";

std::string_view without_white_end(std::string_view text) {
  const size_t last = text.find_last_not_of(kWhite);
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

std::string_view without_white_begin(std::string_view text) { return text.substr(std::min(text.find_first_not_of(kWhite), text.size())); }

bool is_quote(char c) { return c == '\'' || c == '"'; }

/// The string that begins at `at`, with its quotes.
std::string_view string_at(std::string_view text, size_t at) {
  size_t end = at + 1;
  while (end < text.size() && text[end] != text[at]) end += text[end] == '\\' ? 2 : 1;
  return text.substr(at, std::min(end + 1, text.size()) - at);
}

/// Without blanks outside of strings, which have the quotes of quoted_for_jinja.
std::string compact(std::string_view code) {
  std::string out;
  for (size_t at = 0; at < code.size();) {
    if (is_quote(code[at])) {
      const std::string_view written = string_at(code, at);
      out += quoted_for_jinja(unquoted_from_jinja(written));
      at += written.size();
    } else if (code.substr(at).starts_with("message.")) {
      const size_t name = at + 8, end = std::min(code.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", name), code.size());
      out += "message[" + quoted_for_jinja(code.substr(name, end - name)) + "]";
      at = end;
    } else {
      if (kWhite.find(code[at]) == std::string_view::npos) out += code[at];
      ++at;
    }
  }
  return out;
}

/// Outputs that follow one another as one.
class Writer {
 public:
  void text(std::string_view text) {
    if (!text.empty()) output(quoted_for_jinja(text));
  }

  /// A sum of terms.
  void output(const std::string& sum) {
    size_t begin = 0, depth = 0;
    for (size_t at = 0; at < sum.size();) {
      if (is_quote(sum[at])) {
        at += string_at(sum, at).size();
        continue;
      }
      if (sum[at] == '(' || sum[at] == '[') ++depth;
      if (sum[at] == ')' || sum[at] == ']') --depth;
      if (sum[at] == '+' && depth == 0) {
        term(sum.substr(begin, at - begin));
        begin = at + 1;
      }
      ++at;
    }
    term(sum.substr(begin));
  }

  void statement(const std::string& code) {
    end_output();
    out_ += "{%" + code + "%}";
  }

  std::string finish() {
    end_output();
    return std::move(out_);
  }

 private:
  void term(const std::string& code) {
    const bool is_string = code.size() > 1 && is_quote(code[0]) && string_at(code, 0).size() == code.size();
    if (is_string && ends_with_string_) {
      sum_.pop_back();
      sum_ += code.substr(1);
      return;
    }
    if (!sum_.empty()) sum_ += "+";
    sum_ += code;
    ends_with_string_ = is_string;
  }

  void end_output() {
    if (!sum_.empty()) out_ += "{{" + sum_ + "}}";
    sum_.clear();
    ends_with_string_ = false;
  }

  std::string out_, sum_;
  bool ends_with_string_ = false;
};

/// Where the tag that began in front of `at` ends.
size_t tag_end(std::string_view text, size_t at, std::string_view closing) {
  const bool is_comment = closing == "#}";
  while (at < text.size() && !text.substr(at).starts_with(closing))
    at += !is_comment && is_quote(text[at]) ? string_at(text, at).size() : 1;
  return std::min(at, text.size());
}

/// A text in front of a block without the blanks of its last line, where there is nothing else in that.
std::string_view without_indent(std::string_view text, bool begins_line) {
  const size_t last = text.find_last_not_of(" \t");
  if (last == std::string_view::npos) return begins_line ? text.substr(0, 0) : text;
  return text[last] == '\n' ? text.substr(0, last + 1) : text;
}

}  // namespace

std::string quoted_for_jinja(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string unquoted_from_jinja(std::string_view quoted) {
  if (quoted.size() < 2 || !is_quote(quoted[0]) || quoted.back() != quoted[0]) return "";
  std::string out;
  for (size_t at = 1; at + 1 < quoted.size(); ++at) {
    if (quoted[at] != '\\' || at + 2 >= quoted.size()) {
      out += quoted[at];
      continue;
    }
    const char c = quoted[++at];
    if (c == 'n') out += '\n';
    else if (c == 't') out += '\t';
    else if (c == '\\' || is_quote(c)) out += c;
    else out.append({'\\', c});  // another escape: as it is, so that it equals nothing of ours
  }
  return out;
}

std::string plain_jinja(std::string_view jinja) {
  Writer writer;
  bool trims_all = false, trims_line = false;  // what the tag before does to the text
  bool begins_line = true;
  while (true) {
    size_t begin = jinja.find('{');
    while (begin != std::string_view::npos && begin + 1 < jinja.size() &&
           std::string_view("{%#").find(jinja[begin + 1]) == std::string_view::npos)
      begin = jinja.find('{', begin + 1);
    const bool is_last = begin == std::string_view::npos || begin + 2 > jinja.size();
    std::string_view text = is_last ? jinja : jinja.substr(0, begin);
    const char kind = is_last ? '{' : jinja[begin + 1];
    if (is_last && text.ends_with('\n')) text.remove_suffix(1);  // keep_trailing_newline is off
    if (trims_all) text = without_white_begin(text);
    else if (trims_line && text.starts_with('\n')) text.remove_prefix(1), begins_line = true;
    const bool strips = !is_last && begin + 2 < jinja.size() && jinja[begin + 2] == '-';
    if (strips) text = without_white_end(text);
    else if (kind != '{') text = without_indent(text, begins_line);
    writer.text(text);
    if (is_last) return writer.finish();
    const std::string_view closing = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
    const size_t code = begin + (strips ? 3 : 2), end = tag_end(jinja, code, closing);
    std::string_view inside = jinja.substr(std::min(code, end), end - std::min(code, end));
    trims_all = inside.ends_with('-');
    trims_line = kind != '{';
    begins_line = false;
    if (trims_all) inside.remove_suffix(1);
    if (kind == '{') writer.output(compact(inside));
    if (kind == '%') writer.statement(compact(inside));
    jinja = jinja.substr(std::min(end + 2, jinja.size()));
  }
}

}  // namespace mbt
