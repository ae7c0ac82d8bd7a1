// Documents of files to tokens: order, memory and errors.
#include "core/data/tokenize_documents.h"

#include "core/base/error.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"

using namespace mbt;

namespace {

const std::atomic<bool> never = false;

/// The texts as bytes, one string each.
std::vector<std::string> texts(const DocumentSourceOptions& from, TokenizeOptions options = {}) {
  DocumentSource source(from);
  const auto bytes = make_byte_tokenizer();
  std::vector<std::string> result;
  tokenize_documents(source, *bytes, options, never, [&](const TokenBatch& batch) {
    size_t begin = 0;
    for (const size_t end : batch.ends) {
      result.push_back(bytes->decode_bytes({batch.ids.data() + begin, end - begin}));
      begin = end;
    }
  });
  CHECK(source.bytes_read() == source.total_bytes());
  return result;
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
  CHECK_THAT(refusal(of("{\"text\": 7}\n")), ContainsSubstring("cases.jsonl:1: \"text\" is number, expected a string"));
  CHECK_THAT(refusal(of("[1]\n")), ContainsSubstring("cases.jsonl:1: expected an object"));
  CHECK_THAT(refusal(of("{\"text\": \"a\xFF\"}\n")), ContainsSubstring("cases.jsonl:1: "));
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += i % 1000 == 999 ? "nothing\n" : "{\"text\": \"some text that fills a line\"}\n";
  CHECK_THAT(refusal(of(many), {.workers = 4}), ContainsSubstring("cases.jsonl:1000: "));
  CHECK_THAT(refusal({.inputs = {folder.path("nowhere")}}), ContainsSubstring("nowhere"));
  const TemporaryFolder empty;
  CHECK_THAT(refusal({.inputs = {empty.path()}}), ContainsSubstring("has no files"));
  CHECK_THAT(refusal(of("{\"text\": \"a\"}\n"), {.append_eod = true}), ContainsSubstring("--append-eod"));
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
