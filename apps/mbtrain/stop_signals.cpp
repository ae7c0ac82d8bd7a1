#include "apps/mbtrain/stop_signals.h"

#include <array>
#include <csignal>
#include <utility>

namespace mbt {
namespace {

constexpr std::array kStopSignals{SIGINT, SIGTERM};

std::atomic<bool> has_come = false;  // lock-free: also safe in a handler
std::atomic<int> first_signal = 0;
std::array<struct sigaction, kStopSignals.size()> before;  // what a signal did before

/// The other one stays: mpirun sends SIGTERM after the terminal's SIGINT.
void restore(int signal) {
  for (size_t i = 0; i < kStopSignals.size(); ++i)
    if (kStopSignals[i] == signal) ::sigaction(signal, &before[i], nullptr);
}

void on_signal(int signal) {
  int none = 0;
  first_signal.compare_exchange_strong(none, signal);
  has_come = true;
  restore(signal);
}

}  // namespace

StopSignals::StopSignals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < kStopSignals.size(); ++i) ::sigaction(kStopSignals[i], &action, &before[i]);
}

StopSignals::~StopSignals() {
  for (const int signal : kStopSignals) restore(signal);
}

const std::atomic<bool>& StopSignals::came() { return has_come; }
int StopSignals::which() { return first_signal; }

const char* name_of_signal(int signal) {
  static constexpr std::pair<int, const char*> names[] = {
      {SIGHUP, "SIGHUP"}, {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"},   {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},
      {SIGFPE, "SIGFPE"}, {SIGSEGV, "SIGSEGV"}, {SIGTERM, "SIGTERM"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGXCPU, "SIGXCPU"}};
  for (const auto& [number, name] : names)
    if (number == signal) return name;
  return "a signal";
}

}  // namespace mbt
