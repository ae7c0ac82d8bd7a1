// The synthetic language: its text obeys the grammar, and its entropy rate is what the text shows.
#include "core/data/synthetic.h"

#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "core/base/error.h"
#include "tests/support/catch.h"
#include "tests/support/dataset_of.h"

namespace mbt::test::synthetic_test {

namespace {

/// Words with their separators, without the last (cut) one: a word's last vowel begins its ending.
struct Word {
  std::string stem, ending, separator;
};

std::vector<Word> words_of(const std::string& text) {
  std::vector<Word> words;
  size_t begin = 0;
  while (true) {
    const size_t end = text.find_first_of(" ,.", begin);
    const size_t next = end == text.npos ? end : text.find_first_not_of(" ,.\n", end);
    if (next == text.npos) return words;
    const std::string word = text.substr(begin, end - begin);
    const size_t vowel = word.find_last_of("aeiou");
    words.push_back({word.substr(0, vowel), word.substr(vowel), text.substr(end, next - end)});
    begin = next;
  }
}

double log_probability(const std::map<std::string, double>& counts, const std::string& what) {
  double sum = 0;
  for (const auto& [key, n] : counts) sum += n;
  return std::log(counts.at(what) / sum);
}

}  // namespace

TEST_CASE("the text consists of the language's words", "[synthetic]") {
  const SyntheticLanguage language;
  const std::string text = language.text(1, 0, 200000);
  std::set<std::string> stems, endings, separators;
  for (const Word& w : words_of(text)) {
    stems.insert(w.stem);
    endings.insert(w.ending);
    separators.insert(w.separator);
  }
  CHECK(stems.size() == 32);
  CHECK(endings.size() == 8);
  CHECK(separators == std::set<std::string>{" ", ", ", ".\n"});
}

TEST_CASE("counting words in a long text gives the entropy rate", "[synthetic]") {
  const SyntheticLanguage language;
  const std::string text = language.text(3, 9, 8'000'000);
  const std::vector<Word> words = words_of(text);
  std::map<std::string, std::map<std::string, double>> stem_after, ending_after;
  std::map<std::string, double> stem, ending, separator;
  for (size_t t = 2; t < words.size(); ++t) {
    ++stem_after[words[t - 1].stem][words[t].stem];
    ++ending_after[words[t - 2].ending][words[t].ending];
    ++stem[words[t].stem], ++ending[words[t].ending], ++separator[words[t].separator];
  }
  double with_context = 0, without = 0;
  const auto entropy = [](const std::map<std::string, double>& counts) {
    double h = 0;
    for (const auto& [key, n] : counts) h -= n * log_probability(counts, key);
    return h;
  };
  for (const auto& [before, counts] : stem_after) with_context += entropy(counts);
  for (const auto& [before, counts] : ending_after) with_context += entropy(counts);
  with_context += entropy(separator);
  without = entropy(stem) + entropy(ending) + entropy(separator);
  const double bytes = static_cast<double>(text.size());
  CHECK(with_context / bytes == Approx(language.entropy_rate()).epsilon(0.003));
  CHECK(without / bytes == Approx(language.entropy_rate_without_context()).epsilon(0.003));
}

TEST_CASE("texts are a function of seed and index, and their beginnings agree", "[synthetic]") {
  const SyntheticLanguage language;
  CHECK(language.text(1, 2, 64) == language.text(1, 2, 100).substr(0, 64));
  CHECK(language.text(1, 2, 64) != language.text(1, 3, 64));
  CHECK(language.text(1, 2, 64) != language.text(2, 2, 64));
  CHECK(language.text(1234, 0, 40) == "nape jive kude libe zase mawot.\ndodar ba");
}

TEST_CASE("the dataset has as many samples as its tokens fill", "[synthetic]") {
  DatasetConfig config;
  config.synthetic_tokens = 1280;
  const auto data = make_dataset_of(config, 128, 1);
  CHECK(data->num_samples(Split::train) == 9);
  CHECK(data->num_samples(Split::valid) == 1);
  CHECK(data->num_samples(Split::test) == 0);
  CHECK(data->vocab_size() == 256);
  CHECK(data->entropy_rate().value() > 0.5);
  CHECK_THAT(data->describe(), ContainsSubstring("entropy rate"));
  Sample train(128), valid(128);
  data->sample(Split::train, 0, train);
  data->sample(Split::valid, 0, valid);
  CHECK(train.tokens != valid.tokens);
  CHECK_THROWS_WITH(make_dataset_of(config, 256, 1), ContainsSubstring("leaves no sample of 256 tokens for validation"));
  config.random_seed = 2;
  Sample other(128);
  make_dataset_of(config, 128, 1)->sample(Split::train, 0, other);
  CHECK(other.tokens != train.tokens);
}

}  // namespace mbt::test::synthetic_test
