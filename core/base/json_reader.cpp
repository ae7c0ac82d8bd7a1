#include "core/base/json_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "core/base/json_mend.h"
#include "core/base/strings.h"

namespace mbt {
namespace {

using nlohmann::json;

/// How far the parser has read, shared by all copies of its iterator.
struct Cursor {
  const char* at;
};

/// Walks over the text for nlohmann's lexer and keeps the cursor where it is.
class TextIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  TextIterator(const char* at, Cursor* cursor) : at_(at), cursor_(cursor) {}
  reference operator*() const { return *at_; }
  TextIterator& operator++() {
    cursor_->at = ++at_;
    return *this;
  }
  bool operator==(const TextIterator& other) const { return at_ == other.at_; }
  bool operator!=(const TextIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  Cursor* cursor_;
};

/// Builds the document from the parser's events. Every refusal is thrown here, so that nothing deep or doubled is ever built.
class DocumentBuilder {
 public:
  /// odd: what stands as 0 in the text.
  DocumentBuilder(std::string_view text, const std::vector<OddToken>& odd, const Cursor& cursor, const JsonLimits& limits,
                  JsonDocument& document)
      : text_(text), odd_(odd), cursor_(cursor), limits_(limits), document_(document), counted_(text.data()), line_(limits.first_line) {}

  bool null() { return value(json(nullptr)); }
  bool boolean(bool v) { return value(json(v)); }
  bool string(std::string& v) { return value(json(std::move(v))); }
  bool binary(json::binary_t&) { throw Error("JSON text has no binary values"); }
  bool number_integer(json::number_integer_t v) { return number(json(v)); }
  bool number_unsigned(json::number_unsigned_t v) {
    if (v <= static_cast<json::number_unsigned_t>(INT64_MAX)) return number(json(static_cast<int64_t>(v)));
    return large_integer(static_cast<double>(v), std::to_string(v));
  }
  bool number_float(json::number_float_t v, const std::string& token) {
    if (token.find_first_of(".eE") == std::string::npos) return large_integer(v, token);
    return number(json(v));
  }

  bool start_object(size_t) { return open(json::object()); }
  bool start_array(size_t) { return open(json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    if (skipped_ > 0) return true;
    Level& level = levels_.back();
    level.member = std::move(name);
    level.member_line = line(0);
    if (level.container->contains(level.member))
      flaw(level.member_line, "key " + shown(level.member) + " appears twice in one object; keep one of them");
    return true;
  }

  /// `exception` says what nlohmann expected, behind a prefix with its own count of lines.
  template <class Exception>
  bool parse_error(size_t, const std::string&, const Exception& exception) {
    std::string reason = exception.what();
    for (const char* prefix : {"[json.exception.", "] ", "parse error", ": "}) {
      const size_t at = reason.find(prefix);
      if (at != std::string::npos && at < 80) reason.erase(0, at + std::strlen(prefix));
    }
    if (reason.size() > 200) reason = reason.substr(0, 200) + "...";
    for (char& c : reason)
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    refuse(line(0), "not valid JSON: " + reason + hint());
  }

 private:
  /// One open object or array.
  struct Level {
    json* container;
    size_t pointer_length;  ///< of pointer_, without the member
    std::string member;     ///< key of the value that comes next, in objects
    int64_t member_line = 0;
  };

  [[noreturn]] void refuse(int64_t line, const std::string& what) const {
    throw InputError(fmt::format("{}:{}: {}", document_.source, line, what));
  }
  /// Of the value that has just been inserted, or whose key has been read.
  void flaw(int64_t at_line, const std::string& what, bool is_left_out = false) {
    if (!limits_.is_of_others) refuse(at_line, what);
    std::string pointer;
    for (const Level& level : levels_)
      pointer += "/" + (level.container->is_object() ? json_pointer_member(level.member) : std::to_string(level.container->size() - 1));
    document_.flaws.push_back({std::move(pointer), at_line, what, is_left_out});
  }

  /// What people write that JSON does not have.
  std::string hint() const {
    const size_t read = static_cast<size_t>(cursor_.at - text_.data());
    const std::string_view tail = text_.substr(read < 4 ? 0 : read - 4, 12);
    for (const char* word : {"nan", "NaN", "NAN", "inf", "Inf", "INF"})
      if (tail.find(word) != std::string_view::npos) return " (JSON has no NaN and no Infinity; use null or leave the key out)";
    if (tail.find("//") != std::string_view::npos || tail.find("/*") != std::string_view::npos) return " (JSON has no comments)";
    return "";
  }

  /// Of the last character read, not counting the `lookahead` characters after a token.
  int64_t line(int lookahead) {
    const char* const upto = std::max(cursor_.at - lookahead, counted_);
    line_ += std::count(counted_, upto, '\n');
    counted_ = upto;
    return line_;
  }

  /// The lexer sees where a number ends only by reading one character more.
  bool number(json v) {
    const bool is_odd = next_odd_ < odd_.size() && cursor_.at - text_.data() > static_cast<std::ptrdiff_t>(odd_[next_odd_].at);
    if (is_odd) return odd_number(odd_[next_odd_++]);
    return skipped_ > 0 || insert(std::move(v), line(1)) != nullptr;
  }
  bool value(json v) { return skipped_ > 0 || insert(std::move(v), line(0)) != nullptr; }

  bool odd_number(const OddToken& token) {
    if (skipped_ > 0) return true;
    insert(json(token.value), line(1));
    const bool is_word = token.text.find_first_of("NI") != std::string::npos;
    flaw(line(1), is_word ? token.text + " is no number; use null or leave the key out"
                          : "number " + token.text.substr(0, 40) + " is beyond the largest that a double holds, 1.8e308");
    return true;
  }

  bool large_integer(double v, const std::string& digits) {
    const std::string what = "integer " + digits.substr(0, 40) + " is out of range; expected -9223372036854775808 to 9223372036854775807";
    if (!limits_.is_of_others) refuse(line(1), what);
    number(json(v));
    if (skipped_ == 0) flaw(line(1), what);
    return true;
  }

  json* insert(json v, int64_t at_line) {
    if (levels_.empty()) {
      note("", at_line);
      document_.root = std::move(v);
      return &document_.root;
    }
    Level& level = levels_.back();
    pointer_.resize(level.pointer_length);
    if (level.container->is_object()) {
      if (limits_.record_lines) pointer_ += "/" + json_pointer_member(level.member);
      note(pointer_, level.member_line);
      json& place = (*level.container)[level.member];
      place = std::move(v);
      return &place;
    }
    if (limits_.record_lines) pointer_ += "/" + std::to_string(level.container->size());
    note(pointer_, at_line);
    level.container->push_back(std::move(v));
    return &level.container->back();
  }

  bool open(json container) {
    if (skipped_ > 0 || static_cast<int64_t>(levels_.size()) >= limits_.max_depth) return skip(std::move(container));
    json* const place = insert(std::move(container), line(0));
    levels_.push_back({place, pointer_.size(), "", 0});
    return true;
  }
  bool close() {
    if (skipped_ > 0) --skipped_;
    else levels_.pop_back();
    return true;
  }

  /// What is too deep is read, and not built.
  bool skip(json container) {
    if (skipped_++ > 0) return true;
    const std::string what = fmt::format("nested deeper than {} objects and arrays", limits_.max_depth);
    if (!limits_.is_of_others) refuse(line(0), what);
    insert(std::move(container), line(0));
    flaw(line(0), what, true);
    return true;
  }

  void note(const std::string& pointer, int64_t at_line) {
    if (limits_.record_lines) document_.lines.emplace(pointer, at_line);
  }

  std::string_view text_;
  const std::vector<OddToken>& odd_;
  size_t next_odd_ = 0;  ///< the first of odd_ that has not been read
  int64_t skipped_ = 0;  ///< objects and arrays that are open beyond max_depth
  const Cursor& cursor_;
  const JsonLimits& limits_;
  JsonDocument& document_;
  const char* counted_;  ///< line_ counts the newlines before it
  int64_t line_;
  std::vector<Level> levels_;
  std::string pointer_;
};

[[noreturn]] void refuse_size(const std::string& source, int64_t limit) {
  throw InputError(fmt::format("{}: larger than {} bytes, the most that is read as JSON here", source, limit));
}

}  // namespace

std::string JsonDocument::where(const std::string& pointer) const {
  const auto found = lines.find(pointer);
  return found == lines.end() ? source : fmt::format("{}:{}", source, found->second);
}

void JsonDocument::refuse_flaws(const std::string& pointer, bool with_parts) const {
  const auto is_within = [](const std::string& part, const std::string& whole) {
    return part.starts_with(whole) && (part.size() == whole.size() || part[whole.size()] == '/');
  };
  for (const JsonFlaw& flaw : flaws)
    if (is_within(pointer, flaw.pointer) || (with_parts && is_within(flaw.pointer, pointer)))
      throw InputError(fmt::format("{}:{}: {}", source, flaw.line, flaw.what));
}

std::string json_pointer_member(std::string_view key) {
  std::string escaped;
  for (const char c : key) {
    if (c == '~') escaped += "~0";
    else if (c == '/') escaped += "~1";
    else escaped += c;
  }
  return escaped;
}

JsonDocument parse_json(std::string_view text, const std::string& source, const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_bytes) refuse_size(source, limits.max_bytes);
  if (trim(text).empty()) throw InputError(source + ": empty; expected JSON, such as {}");
  const size_t zero = text.find('\0');  // the lexer would take it for the end
  if (zero != text.npos)
    throw InputError(fmt::format("{}:{}: not valid JSON: a zero byte", source, 1 + std::count(text.begin(), text.begin() + zero, '\n')));
  JsonDocument document;
  document.source = source;
  const MendedJson mended = limits.is_of_others ? mend_json(text) : MendedJson{};
  if (!mended.text.empty()) text = mended.text;
  Cursor cursor{text.data()};
  DocumentBuilder builder(text, mended.odd, cursor, limits, document);
  json::sax_parse(TextIterator(text.data(), &cursor), TextIterator(text.data() + text.size(), &cursor), &builder);
  return document;
}

namespace {

/// Before it is opened: opening a FIFO waits for a writer, perhaps for ever.
void refuse_no_file(const std::string& path) {
  std::error_code error;
  const std::filesystem::file_type type = std::filesystem::status(path, error).type();
  const char* what = type == std::filesystem::file_type::directory   ? "a folder"
                     : type == std::filesystem::file_type::fifo      ? "a FIFO"
                     : type == std::filesystem::file_type::socket    ? "a socket"
                     : type == std::filesystem::file_type::character ? "a device"
                     : type == std::filesystem::file_type::block     ? "a device"
                                                                     : nullptr;
  if (what != nullptr) throw InputError(path + ": is " + what + "; expected a JSON file");
}

}  // namespace

JsonDocument read_json_file(const std::string& path, const JsonLimits& limits) {
  refuse_no_file(path);
  std::ifstream file(path, std::ios::binary);
  if (!file) throw InputError(path + ": cannot be read: " + std::strerror(errno) + "; expected a JSON file");
  std::string content;
  char block[65536];
  while (file.read(block, sizeof block) || file.gcount() > 0) {
    content.append(block, static_cast<size_t>(file.gcount()));
    if (static_cast<int64_t>(content.size()) > limits.max_bytes) refuse_size(path, limits.max_bytes);  // also stops at /dev/zero
  }
  if (file.bad()) throw InputError(path + ": cannot be read: " + std::strerror(errno));
  return parse_json(content, path, limits);
}

}  // namespace mbt
