#include "core/tokenizer/pattern/pre_tokenizer.h"

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/tokenizer/bpe/json_fields.h"
#include "core/tokenizer/pattern/regex.h"

namespace mbt {
namespace {

using nlohmann::json;

/// A stretch of a text, either a match or what lies between matches.
struct Stretch {
  size_t begin, end;
  bool is_match;
};

class KnownSplitter : public Splitter {
 public:
  explicit KnownSplitter(const KnownPattern& pattern) : pattern_(pattern) {}
  void split(std::string_view text, PieceSink sink) const override { pattern_.split(text, sink); }

 private:
  KnownPattern pattern_;
};

class PrefixSpace : public Splitter {
 public:
  void split(std::string_view text, PieceSink sink) const override {
    if (text.empty() || text[0] == ' ') return sink(text);
    sink(" " + std::string(text));
  }
};

enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };
constexpr std::pair<const char*, Behavior> kBehaviors[] = {{"Removed", Behavior::removed},
                                                           {"Isolated", Behavior::isolated},
                                                           {"MergedWithPrevious", Behavior::merged_with_previous},
                                                           {"MergedWithNext", Behavior::merged_with_next},
                                                           {"Contiguous", Behavior::contiguous}};

/// What every splitter by matches does with them.
class MatchSplitter : public Splitter {
 public:
  MatchSplitter(Behavior behavior, bool invert) : behavior_(behavior), invert_(invert) {}

  void split(std::string_view text, PieceSink sink) const override {
    const auto give = [&](size_t begin, size_t end) {
      if (end > begin) sink(text.substr(begin, end - begin));
    };
    if (behavior_ == Behavior::merged_with_next) return split_merging_next(text, give);
    Stretch open{0, 0, false};  // what is not given yet
    bool was_match = false, is_first = true;
    stretches(text, [&](Stretch s) {
      s.is_match ^= invert_;
      const bool merges =
          !is_first && (behavior_ == Behavior::contiguous ? s.is_match == was_match
                                                          : behavior_ == Behavior::merged_with_previous && s.is_match && !was_match);
      if (merges) {
        open.end = s.end;
      } else {
        give(open.begin, open.end);
        open = behavior_ == Behavior::removed && s.is_match ? Stretch{s.end, s.end, false} : s;
      }
      was_match = s.is_match;
      is_first = false;
    });
    give(open.begin, open.end);
  }

 protected:
  /// Calls give(Stretch) for all of the text in order.
  virtual void stretches(std::string_view text, FunctionRef<void(Stretch)> give) const = 0;

 private:
  template <class Give>
  void split_merging_next(std::string_view text, Give&& give) const {
    std::vector<Stretch> all, merged;
    stretches(text, [&](Stretch s) { all.push_back({s.begin, s.end, s.is_match != invert_}); });
    bool was_match = false;
    for (size_t i = all.size(); i-- > 0;) {
      if (all[i].is_match && !was_match && !merged.empty()) merged.back().begin = all[i].begin;
      else merged.push_back(all[i]);
      was_match = all[i].is_match;
    }
    for (size_t i = merged.size(); i-- > 0;) give(merged[i].begin, merged[i].end);
  }

  Behavior behavior_;
  bool invert_;
};

class RegexSplitter : public MatchSplitter {
 public:
  RegexSplitter(Regex regex, Behavior behavior, bool invert) : MatchSplitter(behavior, invert), regex_(std::move(regex)) {}

 protected:
  void stretches(std::string_view text, FunctionRef<void(Stretch)> give) const override {
    size_t at = 0, from = 0, last = std::string_view::npos, begin = 0, end = 0;
    while (from <= text.size() && regex_.find(text, from, begin, end)) {
      if (begin == end && last == end) {  // an empty match right behind the last one is none
        if (from == text.size()) break;
        next_code_point(text, from);
        continue;
      }
      if (at != begin) give({at, begin, false});
      give({begin, end, true});
      at = from = last = end;
    }
    if (at != text.size()) give({at, text.size(), false});
  }

 private:
  Regex regex_;
};

class StringSplitter : public MatchSplitter {
 public:
  StringSplitter(std::string what, Behavior behavior, bool invert) : MatchSplitter(behavior, invert), what_(std::move(what)) {}

 protected:
  void stretches(std::string_view text, FunctionRef<void(Stretch)> give) const override {
    size_t at = 0;
    for (size_t found; (found = text.find(what_, at)) != std::string_view::npos; at = found + what_.size()) {
      if (at != found) give({at, found, false});
      give({found, found + what_.size(), true});
    }
    if (at != text.size()) give({at, text.size(), false});
  }

 private:
  std::string what_;
};

/// Matches single characters by their bits.
class CharSplitter : public MatchSplitter {
 public:
  CharSplitter(uint16_t bits, Behavior behavior) : MatchSplitter(behavior, false), bits_(bits) {}

 protected:
  void stretches(std::string_view text, FunctionRef<void(Stretch)> give) const override {
    size_t open = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      if ((char_table().bits[next_code_point(text, at)] & bits_) == 0) continue;
      if (open != begin) give({open, begin, false});
      give({begin, at, true});
      open = at;
    }
    if (open != text.size()) give({open, text.size(), false});
  }

 private:
  uint16_t bits_;
};

Behavior behavior_of(JsonFields& fields, const std::string& otherwise) {
  const std::string name = fields.string("behavior", otherwise);
  for (const auto& [known, behavior] : kBehaviors)
    if (name == known) return behavior;
  fields.refuse("behavior", shown(name) + "; expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

std::unique_ptr<Splitter> make_split(JsonFields& fields, std::string& description) {
  JsonFields pattern(fields.object("pattern"), fields.where("pattern"));
  const Behavior behavior = behavior_of(fields, "");
  const bool invert = fields.flag("invert", false);
  std::unique_ptr<Splitter> result;
  if (pattern.find("String") != nullptr) {
    const std::string what = pattern.string("String");
    if (what.empty()) pattern.refuse("String", "is empty");
    result = std::make_unique<StringSplitter>(what, behavior, invert);
    description = "string " + shown(what);
  } else {
    const std::string regex = pattern.string("Regex");
    // Where the pattern matches everything, these leave the matches as they are.
    const bool gives_matches = behavior == Behavior::isolated || (behavior == Behavior::removed && invert);
    const auto known = gives_matches ? find_known_pattern(regex) : std::nullopt;
    description = known ? "known pattern" : "pattern " + shown(regex, 300);
    if (known) result = std::make_unique<KnownSplitter>(*known);
    else result = std::make_unique<RegexSplitter>(Regex(regex, pattern.where("Regex")), behavior, invert);
  }
  pattern.refuse_others();
  return result;
}

}  // namespace

PreTokenizer::PreTokenizer(const json& section, const std::string& where) {
  add(section, where);
  if (byte_level_at_.empty()) {
    throw InputError(where +
                     ": has no ByteLevel; only BPE over bytes is read from a tokenizer.json. Of a SentencePiece model give its "
                     "tokenizer.model instead");
  }
}

void PreTokenizer::add(const json& section, const std::string& where) {
  JsonFields fields(section, where);
  const std::string type = fields.type();
  if (!byte_level_at_.empty())
    fields.refuse("type", shown(type) + " after " + byte_level_at_ + ", where bytes are letters already, is not supported");
  const auto keep = [&](std::unique_ptr<Splitter> step, const std::string& what) {
    steps_.push_back(std::move(step));
    description_.push_back(what);
  };
  if (type == "Sequence") {
    const json& parts = fields.array("pretokenizers");
    fields.refuse_others();
    for (size_t i = 0; i < parts.size(); ++i) add(parts[i], fmt::format("{}.pretokenizers[{}]", where, i));
  } else if (type == "ByteLevel") {
    fields.ignore("trim_offsets");
    blank_at_ = steps_.size();
    put_blank_in_front(fields.flag("add_prefix_space", true));
    if (fields.flag("use_regex", true)) keep(std::make_unique<KnownSplitter>(KnownPattern{}), "GPT-2's pattern");
    byte_level_at_ = where;
  } else if (type == "Split") {
    std::string description;
    auto step = make_split(fields, description);
    keep(std::move(step), description);
  } else if (type == "Digits") {
    const bool individual = fields.flag("individual_digits", false);
    keep(std::make_unique<CharSplitter>(kIsDigit, individual ? Behavior::isolated : Behavior::contiguous), "digits");
  } else if (type == "Punctuation") {
    keep(std::make_unique<CharSplitter>(kIsPunctuation, behavior_of(fields, "Isolated")), "punctuation");
  } else {
    const char* hint = type == "Metaspace" ? ", as SentencePiece has it: give the tokenizer.model instead" : "";
    fields.refuse("type", shown(type) + hint + "; expected ByteLevel, Split, Digits, Punctuation or Sequence");
  }
  fields.refuse_others();
}

void PreTokenizer::put_blank_in_front(bool on) {
  if (on == has_blank_) return;
  const auto at = static_cast<std::ptrdiff_t>(blank_at_);
  if (on) {
    steps_.insert(steps_.begin() + at, std::make_unique<PrefixSpace>());
    description_.insert(description_.begin() + at, "a blank in front");
  } else {
    steps_.erase(steps_.begin() + at);
    description_.erase(description_.begin() + at);
  }
  has_blank_ = on;
}

void PreTokenizer::split_from(size_t step, std::string_view text, PieceSink sink) const {
  if (step == steps_.size()) return sink(text);
  if (step + 1 == steps_.size()) return steps_[step]->split(text, sink);
  steps_[step]->split(text, [&](std::string_view piece) { split_from(step + 1, piece, sink); });
}

}  // namespace mbt
