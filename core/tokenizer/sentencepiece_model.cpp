#include "core/tokenizer/sentencepiece_model.h"

namespace mbt {
namespace {

// Fields of sentencepiece_model.proto.
constexpr uint64_t kPieces = 1, kNormalizer = 3, kText = 1, kKind = 3, kDummyPrefix = 3, kExtraWhitespaces = 4;

/// The fields of one message, in order.
class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  /// false: at the end, or at what is no field (is_wrong).
  bool next() {
    if (rest_.empty() || is_wrong) return false;
    const uint64_t key = varint();
    number = key >> 3;
    switch (key & 7) {
      case 0: value = varint(); break;
      case 1: bytes = take(8); break;
      case 2: bytes = take(varint()); break;
      case 5: bytes = take(4); break;
      default: is_wrong = true;
    }
    return !is_wrong;
  }

  uint64_t number = 0, value = 0;
  std::string_view bytes;
  bool is_wrong = false;

 private:
  uint64_t varint() {
    uint64_t result = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      result |= uint64_t{byte & 127U} << shift;
      if (byte < 128) return result;
    }
    is_wrong = true;
    return 0;
  }

  std::string_view take(uint64_t size) {
    if (size > rest_.size()) is_wrong = true;
    if (is_wrong) return {};
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
};

bool read_piece(std::string_view message, SentencePieceFacts& facts) {
  SentencePieceFacts::Piece piece;
  Fields fields(message);
  while (fields.next()) {
    if (fields.number == kText) piece.text = fields.bytes;
    if (fields.number != kKind) continue;
    if (fields.value < 1 || fields.value > 6) return false;
    piece.kind = static_cast<PieceKind>(fields.value);
  }
  facts.pieces.push_back(std::move(piece));
  return !fields.is_wrong;
}

bool read_normalizer(std::string_view message, SentencePieceFacts& facts) {
  Fields fields(message);
  while (fields.next()) {
    if (fields.number == kDummyPrefix) facts.add_dummy_prefix = fields.value != 0;
    if (fields.number == kExtraWhitespaces) facts.remove_extra_whitespaces = fields.value != 0;
  }
  return !fields.is_wrong;
}

}  // namespace

std::optional<SentencePieceFacts> read_sentencepiece_facts(std::string_view model) {
  SentencePieceFacts facts;
  Fields fields(model);
  while (fields.next()) {
    if (fields.number == kPieces && !read_piece(fields.bytes, facts)) return std::nullopt;
    if (fields.number == kNormalizer && !read_normalizer(fields.bytes, facts)) return std::nullopt;
  }
  return fields.is_wrong ? std::nullopt : std::optional(std::move(facts));
}

std::string without_dummy_prefix(std::string model, bool keeps_normalization) {
  // A message that comes a second time is merged into the first, field by field, and the last value of a field counts.
  constexpr std::string_view no_prefix{"\x1a\x02\x18\x00", 4};
  constexpr std::string_view no_change{"\x1a\x08\x12\x00\x18\x00\x20\x00\x28\x01", 10};
  return model += keeps_normalization ? no_prefix : no_change;
}

}  // namespace mbt
