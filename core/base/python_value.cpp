#include "core/base/python_value.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "core/base/strings.h"

namespace mbt {
namespace {

using nlohmann::json;

constexpr int kDeepest = 16;  // lists within lists: a blend has two

class ListReader {
 public:
  explicit ListReader(std::string_view text) : rest_(text) {}

  std::optional<json> all() {
    auto list = read_list(0);
    skip_blanks();
    return rest_.empty() ? list : std::nullopt;
  }

 private:
  char next() const { return rest_.empty() ? '\0' : rest_.front(); }
  void skip_blanks() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size())); }
  bool take(char c) {
    skip_blanks();
    if (next() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool is_next(char c) {
    skip_blanks();
    return next() == c;
  }

  std::optional<json> read_list(int depth) {
    skip_blanks();
    const char close = next() == '[' ? ']' : next() == '(' ? ')' : '\0';
    if (close == '\0' || depth > kDeepest) return std::nullopt;
    rest_.remove_prefix(1);
    json list = json::array();
    if (take(close)) return list;
    do {
      auto item = read_item(depth);
      if (!item) return std::nullopt;
      list.push_back(std::move(*item));
    } while (take(',') && !(close == ')' && list.size() == 1 && is_next(')')));  // a tuple of one: (a,)
    return take(close) ? std::optional(std::move(list)) : std::nullopt;
  }

  std::optional<json> read_item(int depth) {
    skip_blanks();
    if (next() == '[' || next() == '(') return read_list(depth + 1);
    if (next() == '\'' || next() == '"') return read_quoted();
    return read_word();
  }

  std::optional<json> read_quoted() {
    const size_t end = rest_.find(rest_.front(), 1);
    if (end == rest_.npos) return std::nullopt;
    json text = std::string(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }

  std::optional<json> read_word() {
    const std::string_view word = trim(rest_.substr(0, rest_.find_first_of(",])")));
    if (word.empty()) return std::nullopt;
    rest_.remove_prefix(std::min(rest_.find_first_of(",])"), rest_.size()));
    if (word == "None" || word == "null") return json(nullptr);
    if (word == "True" || word == "true") return json(true);
    if (word == "False" || word == "false") return json(false);
    int64_t integer = 0;
    double number = 0;
    if (parse_integer(word, integer) == ParseResult::ok) return json(integer);
    if (parse_number(word, number) == ParseResult::ok) return json(number);
    return json(std::string(word));
  }

  std::string_view rest_;
};

}  // namespace

std::string_view unquoted(std::string_view text) {
  const bool has_quotes =
      text.size() >= 2 && (text.front() == '\'' || text.front() == '"') && text.find(text.front(), 1) == text.size() - 1;
  return has_quotes ? text.substr(1, text.size() - 2) : text;
}

json parse_python_list(std::string_view text) {
  auto list = ListReader(trim(text)).all();
  return list ? std::move(*list) : json(json::value_t::discarded);
}

}  // namespace mbt
