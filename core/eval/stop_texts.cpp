#include "core/eval/stop_texts.h"

#include <algorithm>
#include <utility>

namespace mbt {

/// The longest stop that the waiting text ends with.
const std::string* StopTexts::complete() const {
  const std::string* longest = nullptr;
  for (const std::string& stop : stops_)
    if (waiting_.ends_with(stop) && (longest == nullptr || stop.size() > longest->size())) longest = &stop;
  return longest;
}

/// The first byte of the waiting text from which on it may become a stop.
size_t StopTexts::possible_begin() const {
  for (size_t at = 0; at < waiting_.size(); ++at) {
    const std::string_view end = std::string_view(waiting_).substr(at);
    if (std::any_of(stops_.begin(), stops_.end(), [&](const std::string& stop) { return stop.starts_with(end); })) return at;
  }
  return waiting_.size();
}

std::string StopTexts::add(std::string_view piece) {
  std::string sure;
  for (const char c : piece) {
    if (came_) break;
    waiting_ += c;
    if (const std::string* stop = complete()) {
      sure += waiting_.substr(0, waiting_.size() - stop->size());
      waiting_.clear();
      came_ = *stop;
    } else {
      const size_t begin = possible_begin();
      sure += waiting_.substr(0, begin);
      waiting_.erase(0, begin);
    }
  }
  return sure;
}

std::string StopTexts::rest() { return std::exchange(waiting_, ""); }

}  // namespace mbt
