// Scoring: each token once, with what comes before it; the same numbers as generation gives; questions as HellaSwag has them.
#include <cmath>
#include <numeric>

#include "core/eval/multiple_choice.h"
#include "core/eval/perplexity.h"
#include "core/eval/text_tokens.h"
#include "core/model/generate.h"
#include "tests/support/catch.h"
#include "tests/support/resolved.h"
#include "tests/support/tiny_models.h"

namespace mbt::test::eval_test {

namespace {

RunConfig byte_model() {
  return resolved({"--mixed-precision", "fp32", "--model.hidden_size", "32", "--model.num_layers", "2", "--seq-length", "16",
                   "--model.init_method_std", "0.2"});
}

/// A model of bytes with random weights, and a scorer.
struct Setup {
  explicit Setup(int64_t rows = 3)
      : config(byte_model()),
        model(config.model, plain_policy(config.model), 1),
        scorer(*model.backend, config, plain_policy(config.model), model.weights, rows, 16) {}
  RunConfig config;
  TinyModel model;
  Scorer scorer;
};

std::vector<int32_t> bytes_of(const std::string& text) {
  std::vector<int32_t> ids;
  make_byte_tokenizer()->encode(text, ids);
  return ids;
}

double sum(const std::vector<float>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

/// -log p of each token but the first, by feeding them one by one.
std::vector<double> fed(Setup& s, const std::vector<int32_t>& tokens) {
  Generator generator(*s.model.backend, s.config.model, plain_policy(s.config.model), s.model.weights, 32);
  std::vector<double> nats;
  for (size_t t = 0; t + 1 < tokens.size(); ++t) {
    const std::vector<float> logits = generator.feed({tokens[t]});
    double total = 0;
    for (size_t v = 0; v < 256; ++v) total += std::exp(static_cast<double>(logits[v]));
    nats.push_back(std::log(total) - logits[static_cast<size_t>(tokens[t + 1])]);
  }
  return nats;
}

std::string refusal(const std::string& line) {
  try {
    parse_choice_question(line, "q.jsonl:3");
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("windows score every token but the first once, each with enough before it") {
  std::vector<int32_t> tokens(23);
  std::iota(tokens.begin(), tokens.end(), 0);
  for (const int64_t size : {0, 1, 2, 5, 6, 7, 22, 23}) {
    for (const auto& [window, stride] : {std::pair<int64_t, int64_t>{5, 5}, {5, 1}, {5, 3}, {1, 1}, {30, 30}}) {
      CAPTURE(size, window, stride);
      std::vector<int32_t> scored;
      for (const ScoredRow& row : sliding_windows({tokens.data(), static_cast<size_t>(size)}, window, stride)) {
        CHECK(static_cast<int64_t>(row.tokens.size()) <= window + 1);
        const int32_t first = row.tokens[static_cast<size_t>(row.first_scored)];
        CHECK((row.first_scored >= std::min<int64_t>(first, window - stride + 1)));
        scored.insert(scored.end(), row.tokens.begin() + row.first_scored, row.tokens.end());
      }
      std::vector<int32_t> expected(tokens.begin() + std::min<int64_t>(size, 1), tokens.begin() + size);
      CHECK(scored == expected);
    }
  }
}

TEST_CASE("scores are those of generation, alone or beside rows of other lengths") {
  Setup s;
  const std::vector<ScoredRow> rows = {
      {bytes_of("the cat sat on a"), 1}, {bytes_of("ab"), 1}, {bytes_of("of mice and men"), 8}, {bytes_of("lone row"), 3}};
  const std::vector<std::vector<float>> nats = s.scorer.score(rows);
  REQUIRE(nats.size() == rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    const std::vector<double> expected = fed(s, rows[r].tokens);
    REQUIRE(nats[r].size() + static_cast<size_t>(rows[r].first_scored) - 1 == expected.size());
    for (size_t i = 0; i < nats[r].size(); ++i)
      CHECK(nats[r][i] == Approx(expected[i + static_cast<size_t>(rows[r].first_scored) - 1]).epsilon(1e-5));
  }
  CHECK_THROWS_AS(s.scorer.score(std::vector<ScoredRow>{{{1, 300}, 1}}), InputError);
}

TEST_CASE("perplexity adds up documents, in windows and bytes") {
  Setup s;
  const std::string a = "a document that is longer than one window of the model", b = "short";
  PerplexityMeter meter(s.scorer, 16);
  for (const std::string& text : {a, b}) meter.add(bytes_of(text), static_cast<int64_t>(text.size()));
  const PerplexityTotals t = meter.finish();
  double expected = 0;
  for (const std::string& text : {a, b})
    for (const ScoredRow& row : sliding_windows(bytes_of(text), 16, 16)) {
      const std::vector<double> nats = fed(s, row.tokens);
      expected += std::accumulate(nats.begin() + row.first_scored - 1, nats.end(), 0.0);
    }
  CHECK(t.nats == Approx(expected).epsilon(1e-5));
  CHECK(t.tokens == static_cast<int64_t>(a.size() + b.size()) - 2);
  CHECK(t.unscored == 2);
  CHECK(t.perplexity() == Approx(std::exp(expected / static_cast<double>(t.tokens))).epsilon(1e-5));
  CHECK(t.bits_per_byte() == Approx(expected / std::log(2.0) / static_cast<double>(a.size() + b.size())).epsilon(1e-5));
}

TEST_CASE("of a document of which a part counts, that part is scored, in every window and batch") {
  Setup s;
  const std::string text = "a question that is long and its answer, and one more ?";
  const std::vector<int32_t> tokens = bytes_of(text);
  for (const int64_t stride : {16, 5}) {
    std::vector<int32_t> in_loss(tokens.size(), 0);
    for (size_t t = 0; t < tokens.size(); ++t) in_loss[t] = t % 7 == 0 || t > 40 ? 1 : 0;
    double expected = 0;
    int64_t count = 0;
    size_t at = 1;
    for (const ScoredRow& row : sliding_windows(tokens, 16, stride)) {
      const std::vector<double> nats = fed(s, row.tokens);
      for (size_t t = static_cast<size_t>(row.first_scored) - 1; t < nats.size(); ++t, ++at)
        if (in_loss[at]) expected += nats[t], ++count;
    }
    PerplexityMeter meter(s.scorer, stride);
    meter.add_part(tokens, in_loss, 11);
    meter.add_part(tokens, std::vector<int32_t>(tokens.size(), 0), 0);  // nothing of it
    const PerplexityTotals t = meter.finish();
    CHECK(t.nats == Approx(expected).epsilon(1e-5));
    CHECK(t.tokens == count);
    CHECK(t.bytes == 11);
    CHECK(t.documents == 2);
    CHECK(t.unscored == 1);
  }
}

TEST_CASE("a question's ending is scored given its context, with one blank between") {
  Setup s;
  const auto tokenizer = make_byte_tokenizer();
  const ChoiceQuestion question{"the dog ", {"barks", "flies away"}, 1};
  const ChoiceRows asked = choice_rows(question, *tokenizer, {}, 17);
  const std::vector<ScoredRow>& rows = asked.rows;
  CHECK(rows[0].tokens == bytes_of("the dog barks"));
  CHECK(rows[0].first_scored == 7);  // the blank is the ending's
  CHECK(asked.is_shortened);         // "the dog flies away" is longer than 17
  CHECK(!asked.is_cut);
  CHECK(rows[1].tokens == bytes_of("he dog flies away"));
  CHECK(rows[1].first_scored == 6);

  MultipleChoice choice(s.scorer, *tokenizer);
  const std::vector<EndingScore> scores = choice.ask(question);
  CHECK(scores[0].nats == Approx(sum(s.scorer.score(rows)[0])));
  CHECK(scores[0].tokens == 6);
  CHECK(scores[1].characters == 10);
  CHECK(choice.totals().questions == 1);
  CHECK(choice.totals().correct == (scores[1].nats < scores[0].nats));
  CHECK(choice.totals().correct_by_character == (scores[1].nats / 10 < scores[0].nats / 5));
  CHECK(choice.totals().correct_by_token == (scores[1].nats / 11 < scores[0].nats / 6));
}

TEST_CASE("an ending longer than a sequence is scored by its last tokens, and counted") {
  Setup s;
  const auto tokenizer = make_byte_tokenizer();
  const std::string ending = "a very long ending of many words";
  const ChoiceRows asked = choice_rows({"x", {ending, "b"}, 0}, *tokenizer, {}, 17);
  CHECK(asked.rows[0].tokens == bytes_of(ending.substr(ending.size() - 17)));
  CHECK(asked.rows[0].first_scored == 1);
  CHECK((asked.is_cut && !asked.is_shortened));
  MultipleChoice choice(s.scorer, *tokenizer);
  CHECK(choice.ask({"x", {ending, "b"}, 0})[0].tokens == s.scorer.max_tokens() - 1);
  CHECK(choice.totals().cut == 1);
}

TEST_CASE("questions come with several names of the same keys; others are refused with the line") {
  const ChoiceQuestion q = parse_choice_question(R"({"ctx":"a","endings":["b","c"],"label":"1","ind":5})", "x");
  CHECK((q.context == "a" && q.endings == std::vector<std::string>{"b", "c"} && q.label == 1));
  CHECK(parse_choice_question(R"({"query":"a","choices":["b","c"],"gold":0})", "x").label == 0);
  CHECK(parse_choice_question(R"({"ctx":"a","endings":["b","c"],"label":0,"id":18446744073709551615,"p":NaN})", "x").label == 0);
  const std::pair<const char*, const char*> refused[] = {
      {R"({"ctx":"a","endings":["b","c"],"label":0,"label":1})", "key \"label\" appears twice"},
      {"[]", "expected a JSON object"},
      {"{", "expected a JSON object"},
      {R"({"endings":["a","b"],"label":0})", "no text under ctx"},
      {R"({"ctx":"a","endings":["a"],"label":0})", "two texts"},
      {R"({"ctx":"a","endings":["a",7],"label":0})", "ending 1 is \"7\""},
      {R"({"ctx":"a","endings":["a","b"]})", "no label"},
      {R"({"ctx":"a","endings":["a","b"],"label":2})", "label 2 of 2"},
      {R"({"ctx":"a","endings":["a","b"],"label":"1x"})", "expected the number of an ending"},
      {R"({"ctx":"a","endings":["a","b"],"label":-1})", "expected the number of an ending"}};
  for (const auto& [line, words] : refused) {
    CAPTURE(line);
    CHECK_THAT(refusal(line), ContainsSubstring("q.jsonl:3") && ContainsSubstring(words));
  }
}

TEST_CASE("text comes token by token, in whole characters") {
  const auto tokenizer = make_byte_tokenizer();
  std::string text = "a \xC3\xA9 \xE4\xBD\xA0 \xF0\x9F\x91\xA9! ";
  text.append(300, 'x').append("\xE4\xBD\xA0");
  TextStream stream(*tokenizer);
  std::string whole;
  for (const int32_t token : bytes_of(text)) {
    const std::string piece = stream.add(token);
    CHECK((piece.empty() || (static_cast<unsigned char>(piece[0]) & 0xC0) != 0x80));
    whole += piece;
  }
  CHECK(whole + stream.rest() == text);
  stream.add(0xE4);
  CHECK(stream.rest() == "\xEF\xBF\xBD");
}

namespace {

/// As SentencePiece: tokens of single bytes that are no character yet are shown as U+FFFD each.
class ByteFallback final : public Tokenizer {
 public:
  TokenizerType type() const override { return TokenizerType::sentencepiece; }
  int64_t vocab_size() const override { return 256; }
  void encode(std::string_view text, std::vector<int32_t>& ids, bool) const override {
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  }
  std::string decode_bytes(std::span<const int32_t> ids, bool) const override {
    std::string whole, bytes;
    for (const int32_t id : ids) bytes += static_cast<char>(id);
    for (size_t at = 0; at < bytes.size();) {
      const auto lead = static_cast<unsigned char>(bytes[at]);
      const size_t length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 99;
      const bool is_whole = at + length <= bytes.size();
      whole += is_whole ? bytes.substr(at, length) : "\xEF\xBF\xBD";
      at += is_whole ? length : 1;
    }
    return whole;
  }
  std::optional<int32_t> token_id(std::string_view) const override { return std::nullopt; }
  std::string describe() const override { return "test"; }
  uint64_t fingerprint() const override { return 0; }
};

}  // namespace

TEST_CASE("characters that come byte by byte appear when they are whole") {
  const ByteFallback tokenizer;
  const std::string text = "5 \xE2\x82\xAC, \xC3\xB6 \xF0\x9F\x91\xA9!";
  TextStream stream(tokenizer);
  std::string whole;
  std::vector<int32_t> ids;
  tokenizer.encode(text, ids, false);
  for (const int32_t id : ids) whole += stream.add(id);
  CHECK(whole + stream.rest() == text);
}

}  // namespace mbt::test::eval_test
