#include "core/tokenizer/sentencepiece_trainer.h"

#include <exception>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/strings.h"

#if MBT_HAVE_SENTENCEPIECE
#include <sentencepiece_trainer.h>
#endif

namespace mbt {

#if MBT_HAVE_SENTENCEPIECE
namespace {

/// Hands lines on; what goes wrong meanwhile is kept, since the library knows no exceptions.
class Lines : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::function<std::optional<std::string>()>& next) : next_(next) { Next(); }
  bool done() const override { return !line_; }
  void Next() override {
    try {
      do line_ = next_();
      while (line_ && line_->empty());
    } catch (...) {
      failure_ = std::current_exception();
      line_.reset();
    }
    count_ += line_ ? 1 : 0;
  }
  const std::string& value() const override { return *line_; }
  sentencepiece::util::Status status() const override { return {}; }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }
  int64_t count() const { return count_; }

 private:
  const std::function<std::optional<std::string>()>& next_;
  std::optional<std::string> line_;
  std::exception_ptr failure_;
  int64_t count_ = 0;
};

}  // namespace

std::string train_sentencepiece(const SentencePieceTraining& t, const std::function<std::optional<std::string>()>& next_line) {
  const auto flag = [](bool on) { return on ? "true" : "false"; };
  std::unordered_map<std::string, std::string> options = {
      {"vocab_size", std::to_string(t.vocab_size)},
      {"model_type", t.model_type},
      {"character_coverage", to_text(t.character_coverage)},
      {"byte_fallback", flag(t.byte_fallback)},
      {"split_digits", flag(t.split_digits)},
      {"normalization_rule_name", t.normalization_rule_name},
      {"remove_extra_whitespaces", flag(t.normalization_rule_name != "identity")},  // text must come back as it was
      {"allow_whitespace_only_pieces", "true"},
      {"input_sentence_size", std::to_string(t.input_sentence_size)},
      {"shuffle_input_sentence", "true"},
      {"max_sentence_length", std::to_string(t.max_sentence_length)},
      {"num_threads", std::to_string(t.num_threads)},
      {"train_extremely_large_corpus", flag(t.input_sentence_size == 0)},
      {"minloglevel", t.log ? "0" : "2"},
  };
  if (!t.user_defined_symbols.empty()) options["user_defined_symbols"] = join(t.user_defined_symbols, ",");
  Lines lines(next_line);
  lines.rethrow();
  if (lines.done()) throw InputError("training a tokenizer: there is no text");
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &lines, &model);
  lines.rethrow();
  if (!status.ok())
    throw InputError(fmt::format("training a tokenizer of {} pieces on {} lines: {}", t.vocab_size, lines.count(), status.ToString()));
  return model;
}
#else
std::string train_sentencepiece(const SentencePieceTraining&, const std::function<std::optional<std::string>()>&) {
  throw InputError(
      "training a tokenizer needs SentencePiece, which this build is without; install libsentencepiece-dev (scripts/setup.sh does) and "
      "build with -DMBT_SENTENCEPIECE=ON");
}
#endif

}  // namespace mbt
