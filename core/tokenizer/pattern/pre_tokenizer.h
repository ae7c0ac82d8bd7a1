// How a text is cut before pairs are merged within each piece: the section "pre_tokenizer" of a tokenizer.json.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/tokenizer/pattern/known_patterns.h"

namespace mbt {

/// Cuts a piece into pieces.
class Splitter {
 public:
  virtual ~Splitter() = default;
  virtual void split(std::string_view text, PieceSink sink) const = 0;
};

class PreTokenizer {
 public:
  /// InputError: a pre-tokenizer that is not there, or none that turns bytes to characters at the end (ByteLevel), without which the
  /// vocabulary is not one of bytes.
  PreTokenizer(const nlohmann::json& section, const std::string& where);

  /// The pieces in order, each a part of `text` but for a blank that add_prefix_space puts in front; `text` must be UTF-8.
  void split(std::string_view text, PieceSink sink) const { split_from(0, text, sink); }
  /// Whether ByteLevel puts a blank before a part that begins without one; and to have it otherwise than the section says.
  bool puts_blank_in_front() const { return has_blank_; }
  void put_blank_in_front(bool on);
  /// "GPT-2's pattern by hand", ...: one line a step, for people.
  const std::vector<std::string>& description() const { return description_; }

 private:
  void add(const nlohmann::json& section, const std::string& where);
  void split_from(size_t step, std::string_view text, PieceSink sink) const;

  std::vector<std::unique_ptr<Splitter>> steps_;
  std::vector<std::string> description_;
  size_t blank_at_ = 0;  ///< its place among the steps, there or not
  bool has_blank_ = false;
  std::string byte_level_at_;  ///< where ByteLevel stands; nothing may come after
};

}  // namespace mbt
