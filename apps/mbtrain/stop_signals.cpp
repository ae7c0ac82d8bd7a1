#include "apps/mbtrain/stop_signals.h"

#include <csignal>

namespace mbt {
namespace {

std::atomic<bool> has_come = false;  // lock-free: also safe in a handler

void on_signal(int signal) {
  has_come = true;
  std::signal(signal, SIG_DFL);
}

}  // namespace

StopSignals::StopSignals() {
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, on_signal);
}

StopSignals::~StopSignals() {
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, SIG_DFL);
}

const std::atomic<bool>& StopSignals::came() { return has_come; }

}  // namespace mbt
