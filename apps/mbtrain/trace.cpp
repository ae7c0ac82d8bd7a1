#include "apps/mbtrain/trace.h"

#include <nlohmann/json.hpp>

#include "core/base/json_text.h"
#include "core/io/files.h"

namespace mbt {

TracingObserver::TracingObserver(const ProfilingConfig& config, TimingBackend& timing, TrainObserver& next)
    : config_(config), timing_(timing), next_(next) {
  timing_.set_enabled(config.profile_step_start <= 1);
  if (!config.trace_path.empty()) require_writable();
}

/// Now, not after the iterations that it would lose.
void TracingObserver::require_writable() const try {
  const AtomicFile probe(config_.trace_path);  // not committed: leaves nothing
} catch (const InputError& e) {
  throw InputError(fmt::format("profiling.trace_path: {}", e.what()));
}

void TracingObserver::on_iteration(const IterationRecord& record) {
  next_.on_iteration(record);
  const int64_t coming = record.iteration + 1;
  if (coming == config_.profile_step_start) timing_.set_enabled(true);
  const bool is_last = record.iteration == record.train_iters && record.iteration >= config_.profile_step_start;
  if (coming != config_.profile_step_end && !(is_last && coming < config_.profile_step_end)) return;
  timing_.set_enabled(false);
  write();
}

void TracingObserver::write() const {
  nlohmann::json events = nlohmann::json::array();
  for (const OpEvent& e : timing_.events()) {
    nlohmann::json event = {{"name", e.name}, {"ph", "X"}, {"pid", 0}, {"tid", 0}, {"ts", e.start_s * 1e6}, {"dur", e.seconds * 1e6}};
    if (e.flops > 0.0) event["args"] = {{"TFLOP/s", e.flops / e.seconds * 1e-12}};
    events.push_back(std::move(event));
  }
  write_file_atomically(config_.trace_path, json_text(nlohmann::json{{"traceEvents", std::move(events)}}) + "\n");
  next_.on_message(fmt::format("wrote the timeline of {} ops to {}", timing_.events().size(), config_.trace_path));
}

}  // namespace mbt
