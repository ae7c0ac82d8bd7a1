#include "core/data/text/tokenize_documents.h"

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "core/base/error.h"

namespace mbt {
namespace {

constexpr size_t kBatchBytes = 1 << 20;

class Pipeline {
 public:
  Pipeline(DocumentSource& source, const Tokenizer& tokenizer, const TokenizeOptions& options, const std::atomic<bool>& stop,
           FunctionRef<void(const TokenBatch&)> on_batch)
      : source_(source), tokenizer_(tokenizer), options_(options), stop_(stop), on_batch_(on_batch) {}

  void run() {
    std::vector<std::thread> threads;
    for (int i = 1; i < options_.workers; ++i) threads.emplace_back([this] { work(); });
    work();
    for (std::thread& t : threads) t.join();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  /// Takes documents, makes tokens of them, and hands them on when all before are.
  void work() {
    while (true) {
      std::vector<RawDocument> documents;
      TokenBatch batch;
      std::exception_ptr failure;
      int64_t turn = 0;
      {
        const std::lock_guard lock(source_mutex_);
        if (is_over_) return;
        turn = taken_++;
        try {
          documents = take_documents();
        } catch (...) {
          failure = std::current_exception();
        }
        is_over_ = is_over_ || failure || documents.empty();
      }
      try {
        if (!failure) batch = tokens_of(documents);
      } catch (...) {
        failure = std::current_exception();
      }
      if (!hand_on(turn, batch, failure)) return;
    }
  }

  std::vector<RawDocument> take_documents() {
    std::vector<RawDocument> documents;
    if (stop_) throw Error("interrupted by a signal");
    for (size_t bytes = 0; bytes < kBatchBytes;) {
      auto document = source_.next();
      if (!document) break;
      bytes += document->bytes.size() + 64;
      documents.push_back(std::move(*document));
    }
    return documents;
  }

  /// False when the work is over because something failed.
  bool hand_on(int64_t turn, const TokenBatch& batch, std::exception_ptr failure) {
    std::unique_lock lock(turn_mutex_);
    turn_changed_.wait(lock, [&] { return turn_ == turn || failure_; });
    if (failure_) return false;
    try {
      if (!failure) on_batch_(batch);
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure) {
      failure_ = failure;
      const std::lock_guard source_lock(source_mutex_);
      is_over_ = true;
    }
    ++turn_;
    turn_changed_.notify_all();
    return !failure_;
  }

  TokenBatch tokens_of(const std::vector<RawDocument>& documents) const {
    TokenBatch batch;
    for (const RawDocument& document : documents) {
      if (document.kind != DocumentKind::jsonl) {
        add(document.bytes, document, batch);
        continue;
      }
      const JsonDocument object = object_of(document);
      for (const std::string& key : options_.json_keys) add(text_under(object, key, document, options_.json_key_option), document, batch);
    }
    return batch;
  }

  void add(const std::string& content, const RawDocument& document, TokenBatch& batch) const {
    const size_t before = batch.ids.size();
    try {
      const bool is_left_out = options_.leaves_out_empty && content.empty();
      if (!is_left_out) tokenizer_.encode(content, batch.ids, options_.add_special_tokens);
    } catch (const InputError& error) {
      throw InputError(fmt::format("{}: {}", document.where(), error.what()));
    }
    const bool is_later_piece = document.offset > 0;
    const bool is_document = is_later_piece || (!content.empty() && batch.ids.size() > before);
    if (options_.eod && !document.continues && is_document) batch.ids.push_back(*options_.eod);
    batch.ends.push_back(batch.ids.size());
    batch.continues.push_back(document.continues);
    batch.text_bytes += static_cast<int64_t>(content.size());
  }

  DocumentSource& source_;
  const Tokenizer& tokenizer_;
  const TokenizeOptions& options_;
  const std::atomic<bool>& stop_;
  FunctionRef<void(const TokenBatch&)> on_batch_;

  std::mutex source_mutex_, turn_mutex_;
  std::condition_variable turn_changed_;
  bool is_over_ = false;  ///< nothing more to take; source_mutex_
  int64_t taken_ = 0;     ///< source_mutex_
  int64_t turn_ = 0;      ///< turn_mutex_, as what follows
  std::exception_ptr failure_;
};

}  // namespace

void tokenize_documents(DocumentSource& source, const Tokenizer& tokenizer, const TokenizeOptions& options, const std::atomic<bool>& stop,
                        FunctionRef<void(const TokenBatch&)> on_batch) {
  Pipeline(source, tokenizer, options, stop, on_batch).run();
}

}  // namespace mbt
