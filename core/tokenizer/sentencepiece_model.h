// What a SentencePiece model says of itself, which the library keeps to itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mbt {

enum class PieceKind : uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct SentencePieceFacts {
  struct Piece {
    std::string text;
    PieceKind kind = PieceKind::normal;
  };
  std::vector<Piece> pieces;
  bool add_dummy_prefix = true, remove_extra_whitespaces = true;
};

/// Nothing: `model` is no message of protocol buffers, or has a piece of a kind that is none.
std::optional<SentencePieceFacts> read_sentencepiece_facts(std::string_view model);

/// The model without changes to the text before it is cut, and without a blank in front; with `keeps_normalization` the latter alone.
std::string without_dummy_prefix(std::string model, bool keeps_normalization);

}  // namespace mbt
