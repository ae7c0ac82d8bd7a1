// Documents of files to tokens: order, memory and errors.
#include "core/data/text/tokenize_documents.h"

#include <sys/stat.h>

#include <fstream>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "core/io/files.h"
#include "core/tokenizer/bpe/hf_tokenizer.h"
#include "core/tokenizer/unicode/unicode_form.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

namespace mbt::test::tokenize_documents_test {

namespace {

const std::atomic<bool> never = false;

/// The texts as bytes, one string each.
std::vector<std::string> texts(const DocumentSourceOptions& from, TokenizeOptions options = {}) {
  DocumentSource source(from);
  const auto bytes = make_byte_tokenizer();
  std::vector<std::string> result;
  tokenize_documents(source, *bytes, options, never, [&](const TokenBatch& batch) {
    REQUIRE(batch.continues.size() == batch.ends.size());
    size_t begin = 0;
    for (const size_t end : batch.ends) {
      result.push_back(bytes->decode_bytes({batch.ids.data() + begin, end - begin}));
      begin = end;
    }
  });
  if (source.total_bytes()) CHECK(source.bytes_read() == *source.total_bytes());
  return result;
}

/// The golden one, which also merges any two of white space, "/" and ";", and any two of these pairs: tokens tell how it splits.
std::unique_ptr<Tokenizer> merging_white_space(const std::string& style) {
  nlohmann::json file =
      nlohmann::json::parse(read_text_file(std::string(MBT_SOURCE_DIR) + "/tests/golden/tokenizers/" + style + "/tokenizer.json"));
  nlohmann::json merges = nlohmann::json::array();
  int32_t id = 100'000;
  const bool in_arrays = file["model"]["merges"][0].is_array();
  std::vector<std::string> parts{"\xC4\xA0", "\xC4\x8A", "\xC4\x8D", "\xC4\x89", ";", "/"};  // as files write " ", "\n", "\r" and "\t"
  for (int round = 0; round < 2; ++round) {
    const std::vector<std::string> ends = parts;
    for (const std::string& a : ends)
      for (const std::string& b : ends) {
        if (!file["model"]["vocab"].contains(a + b)) file["model"]["vocab"][a + b] = id++;
        merges.push_back(in_arrays ? nlohmann::json{a, b} : nlohmann::json(a + " " + b));
        if (round == 0) parts.push_back(a + b);
      }
    if (round == 0) parts.erase(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(ends.size()));
  }
  file["added_tokens"] = nlohmann::json::array();
  file["post_processor"] = nullptr;
  std::set<nlohmann::json> seen(merges.begin(), merges.end());
  for (const nlohmann::json& merge : file["model"]["merges"])
    if (seen.insert(merge).second) merges.push_back(merge);
  file["model"]["merges"] = merges;
  return std::make_unique<HfTokenizer>(parse_hf_tokenizer(file.dump(), style));
}

std::string refusal(const DocumentSourceOptions& from, const TokenizeOptions& options = {}) {
  try {
    texts(from, options);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("Documents are files, lines, or strings of JSONL", "[tokenize]") {
  const TemporaryFolder folder;
  const std::string plain = folder.file("b.txt", "one\r\n\ntwo");
  const std::string jsonl = folder.file("a.jsonl", "{\"text\": \"x\\ny\", \"other\": \"1\"}\r\n\n  \n{\"other\": \"2\", \"text\": \"\"}");
  CHECK(texts({.inputs = {folder.path()}}) == Strings{"x\ny", "", "one\r\n\ntwo"});  // by suffix, in order of the paths
  CHECK(texts({.inputs = {plain}, .kind = DocumentKind::line}) == Strings{"one", "", "two"});
  CHECK(texts({.inputs = {jsonl}}, {.json_keys = {"other", "text"}}) == Strings{"1", "x\ny", "2", ""});
  CHECK(texts({.inputs = {folder.file("empty.txt", "")}}) == Strings{""});
  CHECK(texts({.inputs = {folder.file("empty.jsonl", "\n\n")}}).empty());
}

TEST_CASE("What is in keys that nobody reads stops nothing; the key that is read is checked", "[tokenize]") {
  const TemporaryFolder folder;
  const auto of = [&](const std::string& line) { return DocumentSourceOptions{.inputs = {folder.file("a.jsonl", line)}}; };
  for (const std::string& value :
       {std::string("18446744073709551615"), std::string("NaN"), std::string("[1e999]"), std::string("\"\\ud83d\""),
        std::string("1, \"other\": 2"), std::string(3000, '[') + std::string(3000, ']')}) {
    INFO(value.substr(0, 30));
    CHECK(texts(of("{\"text\": \"hello\", \"other\": " + value + "}")) == Strings{"hello"});
  }
  CHECK_THAT(refusal(of("{\"text\": \"a\", \"text\": \"b\"}")), ContainsSubstring("a.jsonl:1: key \"text\" appears twice"));
  CHECK_THAT(refusal(of("{\"t\": 1}\n{\"text\": NaN}"), {.json_keys = {"t"}}), ContainsSubstring("a.jsonl:1: \"t\" is number 1"));
  CHECK_THAT(refusal(of("{\"text\": \"a\"}\n{\"text\": NaN}")), ContainsSubstring("a.jsonl:2: NaN is no number"));
}

TEST_CASE("JSON that goes over several lines is called so, with what to do", "[tokenize]") {
  const TemporaryFolder folder;
  const auto of = [&](const std::string& content) {
    return DocumentSourceOptions{.inputs = {folder.file("a.json", content)}, .kind = DocumentKind::jsonl};
  };
  for (const char* array : {"[\n  {\"text\": \"a\"}\n]\n", "\n[{\"text\": \"a\"},\n{\"text\": \"b\"}]\n"})
    CHECK_THAT(refusal(of(array)),
               ContainsSubstring("begins a JSON array that goes over several lines") && ContainsSubstring("jq -c '.[]' "));
  CHECK_THAT(refusal(of("{\n  \"text\": \"a\"\n}\n")), ContainsSubstring("a.json:1: begins a JSON object that goes over several lines"));
  CHECK_THAT(refusal(of("[{\"text\": \"a\"}]\n")), ContainsSubstring("is array, expected an object") && ContainsSubstring("jq -c '.[]' "));
  CHECK_THAT(refusal(of("some text\n")), ContainsSubstring("JSON Lines are expected because"));
}

TEST_CASE("A .json file of objects is not taken for a text in silence", "[tokenize]") {
  const TemporaryFolder folder;
  const std::string file = folder.file("a.json", "{\"text\": \"x\"}\n");
  CHECK_THAT(refusal({.inputs = {file}}), ContainsSubstring("--json-key KEY") && ContainsSubstring("such as .txt"));
  CHECK(texts({.inputs = {file}, .kind = DocumentKind::file}) == Strings{"{\"text\": \"x\"}\n"});
  CHECK(texts({.inputs = {folder.path()}}) == Strings{"{\"text\": \"x\"}\n"});
}

TEST_CASE("JSON Lines are known by their names in letters of any case", "[tokenize]") {
  const TemporaryFolder folder;
  for (const char* name : {"a.jsonl", "a.JSONL", "a.NdJson"})
    CHECK(texts({.inputs = {folder.file(name, "{\"text\": \"x\"}\n")}}) == Strings{"x"});
  for (const char* name : {"a.json", "jsonl", "a.jsonl.txt"}) CHECK_FALSE(is_json_lines_name(folder.path(name)));
}

TEST_CASE("An empty text is no document, and has no end of one", "[tokenize]") {
  const TemporaryFolder folder;
  DocumentSource source({.inputs = {folder.file("a.txt", "a\n\nb\n")}, .kind = DocumentKind::line});
  std::vector<int32_t> ids;
  std::vector<size_t> ends;
  const std::atomic<bool> stop = false;
  tokenize_documents(source, *make_byte_tokenizer(), {.eod = 0}, stop, [&](const TokenBatch& batch) {
    ids.insert(ids.end(), batch.ids.begin(), batch.ids.end());
    ends.insert(ends.end(), batch.ends.begin(), batch.ends.end());
  });
  CHECK(ids == std::vector<int32_t>{'a', 0, 'b', 0});
  CHECK(ends == std::vector<size_t>{2, 2, 4});
}

TEST_CASE("Many threads keep the order", "[tokenize]") {
  const TemporaryFolder folder;
  std::string content;
  Strings expected;
  for (int i = 0; i < 200'000; ++i) {
    expected.push_back("line " + std::to_string(i) + std::string(static_cast<size_t>(i % 37), 'x'));
    content += expected.back() + "\n";
  }
  const DocumentSourceOptions from{.inputs = {folder.file("lines.txt", content)}, .kind = DocumentKind::line};
  CHECK(texts(from) == expected);
  CHECK(texts(from, {.workers = 5}) == expected);
}

TEST_CASE("Errors name the file and the line, the first of several", "[tokenize]") {
  const TemporaryFolder folder;
  const auto of = [&](const std::string& content) { return DocumentSourceOptions{.inputs = {folder.file("cases.jsonl", content)}}; };
  CHECK_THAT(refusal(of("{\"text\": \"a\"}\n{\"text\": }\n")), ContainsSubstring("cases.jsonl:2: not valid JSON"));
  CHECK_THAT(refusal(of("{\"text\": \"a\"}\n\n{\"texts\": \"a\"}\n")),
             ContainsSubstring("cases.jsonl:3: has no key \"text\", only \"texts\""));
  CHECK_THAT(refusal(of("{\"text\": 7}\n")),
             ContainsSubstring("cases.jsonl:1: \"text\" is number 7, expected a string") && ContainsSubstring("--json-key"));
  CHECK_THAT(refusal(of("{\"text\": null}\n")),
             ContainsSubstring("cases.jsonl:1: \"text\" is null, expected a string; leave the line out"));
  CHECK_THAT(refusal(of("{\"texts\": \"a\"}\n"), {.json_key_option = "dataset.json_key"}), ContainsSubstring("with dataset.json_key"));
  CHECK_THAT(refusal(of("[1]\n")), ContainsSubstring("cases.jsonl:1: is array, expected an object"));
  CHECK_THAT(refusal(of("{\"text\": \"a\xFF\"}\n")), ContainsSubstring("cases.jsonl:1: "));
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += i % 1000 == 999 ? "nothing\n" : "{\"text\": \"some text that fills a line\"}\n";
  CHECK_THAT(refusal(of(many), {.workers = 4}), ContainsSubstring("cases.jsonl:1000: "));
  CHECK_THAT(refusal({.inputs = {folder.path("nowhere")}}), ContainsSubstring("nowhere"));
  const TemporaryFolder empty;
  CHECK_THAT(refusal({.inputs = {empty.path()}}), ContainsSubstring("has no files"));
}

TEST_CASE("Documents beyond the limit are refused, within it they are whole", "[tokenize]") {
  const TemporaryFolder folder;
  const std::string file = folder.file("long.txt", std::string(3'000'000, 'a') + "\nb\n");
  CHECK_THAT(refusal({.inputs = {file}, .max_document_bytes = 1000}), ContainsSubstring("long.txt: is larger than 1000 bytes"));
  CHECK_THAT(refusal({.inputs = {file}, .kind = DocumentKind::line, .max_document_bytes = 2'999'999}),
             ContainsSubstring("long.txt:1: is larger"));
  CHECK(texts({.inputs = {file}, .kind = DocumentKind::line, .max_document_bytes = 3'000'000}) ==
        Strings{std::string(3'000'000, 'a'), "b"});
}

TEST_CASE("Half of a surrogate pair is U+FFFD, and nothing else changes", "[tokenize]") {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& escaped) {
    return texts({.inputs = {folder.file("a.jsonl", "{\"text\": \"" + escaped + "\"}")}});
  };
  const std::string replaced = "\xEF\xBF\xBD", grin = "\xF0\x9F\x98\x80";
  CHECK(read("a\\ud800b") == Strings{"a" + replaced + "b"});
  CHECK(read("\\uDE00\\ud83d") == Strings{replaced + replaced});
  CHECK(read("\\ud83d\\ude00\\ud83D") == Strings{grin + replaced});
  CHECK(read("\\ud83d\\ud83d\\ude00") == Strings{replaced + grin});
  CHECK(read("\\\\ud800 \\u00e9\\n") == Strings{"\\ud800 \xC3\xA9\n"});
  CHECK(read("\\ud800\\n\\ud800") == Strings{replaced + "\n" + replaced});
  CHECK_THAT(refusal({.inputs = {folder.file("a.jsonl", "{\"text\": \"\\ud8\"}")}}), ContainsSubstring("a.jsonl:1: not valid JSON"));
}

TEST_CASE("Compressed files are refused with the command that unpacks them", "[tokenize]") {
  const TemporaryFolder folder;
  CHECK_THAT(refusal({.inputs = {folder.file("x.jsonl.gz", "\x1f\x8b\x08...")}}),
             ContainsSubstring("x.jsonl.gz: is compressed (gzip)") && ContainsSubstring("zcat") && ContainsSubstring("--input -"));
  CHECK_THAT(refusal({.inputs = {folder.file("x.jsonl", "\x28\xb5\x2f\xfd...")}}), ContainsSubstring("(zstd)"));
  CHECK_THAT(refusal({.inputs = {folder.file("x.parquet", "PAR1...")}}),
             ContainsSubstring("Parquet") && ContainsSubstring("JSON Lines first"));
}

TEST_CASE("Large files come in pieces that end with a line, and make up the file", "[tokenize]") {
  const TemporaryFolder folder;
  std::string content;
  for (int i = 0; i < 4000; ++i) content += "line " + std::to_string(i) + (i % 3 == 0 ? "\n\n" : "\n");
  content += std::string(5000, 'x') + std::string(3000, ' ');
  for (int i = 0; i < 2000; ++i) content += "\xE2\x82\xAC";
  const std::string path = folder.file("long.txt", content);
  for (const int64_t most : {100, 999, 4096, 1 << 20}) {
    DocumentSource source({.inputs = {path, path}, .max_document_bytes = most, .splits_files = true});
    std::string whole;
    int files = 0;
    while (const auto piece = source.next()) {
      CHECK(piece->offset == static_cast<int64_t>(whole.size()));
      CHECK(static_cast<int64_t>(piece->bytes.size()) <= most);
      CHECK(!piece->bytes.empty());
      if (piece->offset < 30'000 && piece->continues) CHECK(piece->bytes.ends_with('\n'));
      CHECK((static_cast<unsigned char>(piece->bytes[0]) & 0xC0) != 0x80);
      whole += piece->bytes;
      if (piece->continues) continue;
      CHECK(whole == content);
      whole.clear();
      ++files;
    }
    CHECK(files == 2);
  }
}

TEST_CASE("Pieces of large files have the tokens of the whole", "[tokenize]") {
  const TemporaryFolder folder;
  std::string content;
  const auto add = [&](int lines, std::initializer_list<const char*> endings) {
    for (int i = 0; i < lines; ++i)
      for (const char* ending : endings) content += "    if x" + std::to_string(i) + " == 'it''s': say(5, 12345)" + ending;
  };
  add(40, {"\n", "\n\n", "\n  \n", "  \n", "\n\t\t", ";\n\n\n"});                        // every line is indented
  add(40, {"\r\n", "\r\n\r\n"});                                                         // no "\n" behind a word
  for (int i = 0; i < 300; ++i) content += i % 3 == 0 ? "};\n// note" : "word\n\nend;";  // "/" goes with the ";" before it, in o200k
  for (int i = 0; i < 300; ++i) content += "\xE4\xB8\xAD\xE3\x80\x82\n\xE4\xB8\xAD";     // a full stop, and no ASCII beside the line's end
  for (int i = 0; i < 300; ++i) content += i % 4 == 0 ? "word\n" : "a\xE3\x80\x80\nb\n\xC2\xA0";  // white space of two and three bytes
  const std::string path = folder.file("long.txt", content);
  for (const char* style : {"gpt2", "llama3", "qwen", "o200k", "starcoder", "deep"}) {
    if (!has_unicode_forms() && (std::string(style) == "qwen" || std::string(style) == "starcoder")) continue;
    const std::unique_ptr<Tokenizer> tokenizer = merging_white_space(style);
    std::vector<int32_t> whole;
    tokenizer->encode(content, whole);
    for (const int64_t most : {150, 333, 1000, 4096}) {
      INFO(style << ", " << most);
      DocumentSource source({.inputs = {path}, .max_document_bytes = most, .splits_files = true});
      std::vector<int32_t> in_pieces;
      size_t pieces = 0;
      tokenize_documents(source, *tokenizer, {}, never, [&](const TokenBatch& batch) {
        in_pieces.insert(in_pieces.end(), batch.ids.begin(), batch.ids.end());
        pieces += batch.ends.size();
      });
      CHECK(pieces > content.size() / static_cast<size_t>(most));
      CHECK(in_pieces.size() == whole.size());
      CHECK((in_pieces == whole));  // thousands, which nobody wants to see
    }
  }
}

TEST_CASE("Streams are read to their end; what they hold must be said", "[tokenize]") {
  const TemporaryFolder folder;
  const std::string pipe = folder.path("pipe");
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  const auto read = [&](const DocumentSourceOptions& from) {
    std::thread writer([&] { std::ofstream(pipe) << "{\"text\": \"a\"}\n{\"text\": \"b\"}"; });
    Strings got = texts(from);
    writer.join();
    return got;
  };
  CHECK(read({.inputs = {pipe}, .takes_streams = true, .stream_kind = DocumentKind::jsonl}) == Strings{"a", "b"});
  CHECK(read({.inputs = {pipe}, .kind = DocumentKind::file, .takes_streams = true}) == Strings{"{\"text\": \"a\"}\n{\"text\": \"b\"}"});
  CHECK_THAT(refusal({.inputs = {pipe}, .takes_streams = true}), ContainsSubstring("--document jsonl, line or file"));
  CHECK_THAT(refusal({.inputs = {pipe}}), ContainsSubstring("is a FIFO, expected a file"));
}

TEST_CASE("A signal and a failing reader end the work", "[tokenize]") {
  const TemporaryFolder folder;
  DocumentSource source({.inputs = {folder.file("a.txt", "a")}});
  const std::atomic<bool> stopped = true;
  const auto bytes = make_byte_tokenizer();
  CHECK_THROWS_WITH(tokenize_documents(source, *bytes, {}, stopped, [](const TokenBatch&) {}), ContainsSubstring("interrupted"));
  DocumentSource other({.inputs = {folder.path()}});
  CHECK_THROWS_WITH(tokenize_documents(other, *bytes, {.workers = 3}, never, [](const TokenBatch&) { throw Error("disk full"); }),
                    ContainsSubstring("disk full"));
}

}  // namespace mbt::test::tokenize_documents_test
