#include "core/tokenizer/pattern/regex_compile.h"

#include <algorithm>
#include <optional>

#include "core/base/error.h"
#include "core/base/strings.h"
#include "core/tokenizer/pattern/regex_class.h"

namespace mbt {
namespace {

constexpr uint32_t kUnbounded = UINT32_MAX;
constexpr size_t kMaxSteps = 20000;

class Compiler : PatternReader {
 public:
  Compiler(std::string_view pattern, const std::string& where) : PatternReader(pattern, where) {}

  CompiledRegex run() {
    alternatives(false);
    if (!at_end()) refuse("has a ')' too many");
    emit({.kind = RegexStep::match});
    return std::move(out_);
  }

 private:
  using Step = RegexStep;
  struct Count {
    uint32_t min, max;
    Step::Kind kind;
  };

  uint32_t emit(const Step& step) {
    if (out_.steps.size() >= kMaxSteps) refuse("is too large");
    out_.steps.push_back(step);
    return static_cast<uint32_t>(out_.steps.size() - 1);
  }
  uint32_t here() const { return static_cast<uint32_t>(out_.steps.size()); }
  uint32_t keep(const CharSet& set) {
    const auto found = std::find(out_.sets.begin(), out_.sets.end(), set);
    if (found != out_.sets.end()) return static_cast<uint32_t>(found - out_.sets.begin());
    if (out_.sets.size() >= 200) refuse("has too many character classes");
    out_.sets.push_back(set);
    return static_cast<uint32_t>(out_.sets.size() - 1);
  }

  /// a|b|c up to ')' or the end: split to a or else to b, ..., each jumping to the end.
  void alternatives(bool fold) {
    if (++nesting_ > kMaxNesting) refuse("is nested too deeply");
    const bool outer = fold_;
    fold_ = fold;
    std::vector<uint32_t> jumps;
    while (true) {
      const uint32_t begin = here();
      sequence();
      if (!looking_at("|")) break;
      ++at_;
      insert(begin, {.kind = Step::split, .a = begin + 1, .b = here() + 2});
      for (uint32_t& j : jumps) j += j >= begin;
      jumps.push_back(emit({.kind = Step::jump}));
    }
    for (const uint32_t j : jumps) out_.steps[j].a = here();
    fold_ = outer;
    --nesting_;
  }

  /// Puts a step in front of the steps from `place` on; their targets within move with them.
  void insert(uint32_t place, const Step& step) {
    for (uint32_t i = place; i < here(); ++i) shift(out_.steps[i], place, 1);
    if (out_.steps.size() >= kMaxSteps) refuse("is too large");
    out_.steps.insert(out_.steps.begin() + place, step);
  }
  static void shift(Step& step, uint32_t from, uint32_t by) {
    if (step.kind == Step::split || step.kind == Step::jump || step.kind == Step::ahead || step.kind == Step::not_ahead) {
      if (step.a >= from) step.a += by;
      if (step.kind == Step::split && step.b >= from) step.b += by;
    }
  }

  void sequence() {
    uint32_t last_letter = 0;
    while (!at_end() && !looking_at("|") && !looking_at(")")) {
      const uint32_t begin = here();
      const uint32_t letter = atom();
      if (fold_) refuse_folding_pairs(last_letter, letter);
      last_letter = letter;
      quantifiers(begin);
    }
  }

  /// These two letters in a row also match one character without regard to case (U+00DF, U+FB01, ...), which is not done here.
  void refuse_folding_pairs(uint32_t a, uint32_t b) const {
    const char pair[3] = {static_cast<char>(a | 0x20), static_cast<char>(b | 0x20), 0};
    for (const char* folding : {"ss", "ff", "fi", "fl", "st"})
      if (a < 0x80 && b < 0x80 && std::string_view(folding) == pair)
        refuse(fmt::format("has \"{}\" without regard to case, which is not supported", folding));
  }

  /// Emits one atom; returns its code point when it is a single letter, else 0.
  uint32_t atom() {
    const size_t begin = at_;
    const uint32_t c = next();
    switch (c) {
      case '(': return group(), 0;
      case '[': return one(bracket()), 0;
      case '.': {
        CharSet set;
        set.add('\n');
        set.invert();
        return one(set), 0;
      }
      case '^': return emit({.kind = Step::line_begin}), 0;
      case '$': return emit({.kind = Step::line_end}), 0;
      case '*':
      case '+':
      case '?': refuse("repeats nothing");
      case '\\': return escape(begin);
      default: return literal(c);
    }
  }

  void one(const CharSet& set) { emit({.kind = Step::one, .set = keep(set)}); }
  uint32_t literal(uint32_t c) {
    CharSet set;
    add_range(set, c, c);
    one(set);
    return c;
  }

  uint32_t escape(size_t begin) {
    if (take("A")) return emit({.kind = Step::text_begin}), 0;
    if (take("z")) return emit({.kind = Step::text_end}), 0;
    if (take("b")) return emit({.kind = Step::word_edge}), 0;
    if (take("B")) return emit({.kind = Step::word_edge, .is_negative = true}), 0;
    at_ = begin;
    CharSet set;
    const std::optional<uint32_t> c = class_item(set);
    if (c) return literal(*c);
    one(set);
    return 0;
  }

  void group() {
    if (!take("?")) return close(fold_);  // nobody asks what a capture holds
    if (take(":")) return close(fold_);
    if (take("=")) return look(Step::ahead);
    if (take("!")) return look(Step::not_ahead);
    if (looking_at("<=") || looking_at("<!")) return look_behind();
    if (take("i:")) return close(true);
    if (take("-i:")) return close(false);
    if (take("i)")) return alternatives(true);  // for the rest of the group that it stands in, other alternatives included
    refuse("has a group that is not supported; expected (?: (?= (?! (?<= (?<! (?i: or (?i)");
  }
  void close(bool fold) {
    alternatives(fold);
    if (!take(")")) refuse("lacks a ')'");
  }
  void look(Step::Kind kind) {
    const uint32_t begin = emit({.kind = kind});
    close(fold_);
    emit({.kind = Step::match});
    out_.steps[begin].a = here();
  }
  void look_behind() {
    const bool is_negative = pattern_[at_ + 1] == '!';
    at_ += 2;
    const uint32_t begin = here();
    close(fold_);
    if (here() != begin + 1 || out_.steps[begin].kind != Step::one)
      refuse("looks behind for more than one character, which is not supported");
    out_.steps[begin].kind = Step::behind;
    out_.steps[begin].is_negative = is_negative;
  }

  std::optional<uint32_t> number() {
    const size_t begin = at_;
    uint32_t value = 0;
    while (!at_end() && pattern_[at_] >= '0' && pattern_[at_] <= '9') {
      value = value * 10 + static_cast<uint32_t>(pattern_[at_++] - '0');
      if (value > 100000) refuse("repeats more than 100000 times");
    }
    return at_ > begin ? std::optional(value) : std::nullopt;
  }

  /// The repetition that comes next, if any; `{` without one is itself.
  std::optional<Count> count() {
    Count c{0, kUnbounded, Step::many};
    const size_t begin = at_;
    bool is_interval = false;
    if (take("?")) c.max = 1;
    else if (take("+")) c.min = 1;
    else if (take("{")) {
      is_interval = true;
      const auto low = number();
      const bool has_comma = take(",");
      const auto high = has_comma ? number() : low;
      if (!take("}") || (!low && !high)) return at_ = begin, std::nullopt;
      c.min = low.value_or(0);
      c.max = high.value_or(kUnbounded);
      if (c.max < c.min) refuse("has an interval whose end is before its begin");
      if (!has_comma && looking_at("?")) refuse("has {n}?, which is not supported");
    } else if (!take("*")) return std::nullopt;
    if (take("?")) c.kind = Step::few;
    else if (!is_interval && take("+")) c.kind = Step::many_only;  // after {n,m} a '+' is one more repetition in this syntax
    return c;
  }

  void quantifiers(uint32_t begin) {
    while (const auto c = count()) {
      if (here() == begin) refuse("repeats nothing");
      if (here() == begin + 1 && out_.steps[begin].kind == Step::one) {
        Step& s = out_.steps[begin];
        s.kind = c->kind, s.min = c->min, s.max = c->max;
      } else {
        repeat_group(begin, *c);
      }
    }
  }

  /// The steps from `begin` on, copied as often as they must be there, then as often as they may be, or a loop.
  void repeat_group(uint32_t begin, const Count& c) {
    if (c.kind == Step::many_only) refuse("has a possessive repetition of a group, which is not supported");
    const std::vector<Step> body(out_.steps.begin() + begin, out_.steps.end());
    if (c.max == kUnbounded && can_be_empty(body, begin)) refuse("repeats without end what can be empty, which is not supported");
    out_.steps.resize(begin);
    for (uint32_t i = 0; i < c.min; ++i) copy(body, begin);
    std::vector<uint32_t> splits;
    const auto split = [&] { splits.push_back(emit({.kind = Step::split})); };
    if (c.max == kUnbounded) {
      split();
      copy(body, begin);
      emit({.kind = Step::jump, .a = splits[0]});
    } else {
      for (uint32_t i = c.min; i < c.max; ++i) split(), copy(body, begin);
    }
    for (const uint32_t s : splits) {
      out_.steps[s].a = s + 1, out_.steps[s].b = here();
      if (c.kind == Step::few) std::swap(out_.steps[s].a, out_.steps[s].b);
    }
  }
  void copy(const std::vector<Step>& body, uint32_t was) {
    const uint32_t by = here() - was;
    for (Step step : body) {
      shift(step, was, by);
      emit(step);
    }
  }
  /// Whether the end of the body, whose first step has the index `base`, can be reached without a character.
  static bool can_be_empty(const std::vector<Step>& body, uint32_t base) {
    std::vector<bool> reached(body.size() + 1);
    reached[0] = true;
    bool changed = true;
    const auto reach = [&](size_t to) { changed |= !reached[to], reached[to] = true; };
    while (changed) {
      changed = false;
      for (size_t i = 0; i < body.size(); ++i) {
        if (!reached[i]) continue;
        const Step& s = body[i];
        if (s.kind == Step::one || s.kind == Step::match ||
            ((s.kind == Step::many || s.kind == Step::few || s.kind == Step::many_only) && s.min > 0))
          continue;
        if (s.kind == Step::jump || s.kind == Step::split || s.kind == Step::ahead || s.kind == Step::not_ahead) {
          reach(s.a - base);
          if (s.kind == Step::split) reach(s.b - base);
        } else {
          reach(i + 1);
        }
      }
    }
    return reached[body.size()];
  }

  CompiledRegex out_;
};

}  // namespace

CompiledRegex compile_regex(std::string_view pattern, const std::string& where) { return Compiler(pattern, where).run(); }

}  // namespace mbt
