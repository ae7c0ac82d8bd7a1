#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/level.h"
#include "kernels/cpu/processor.h"

namespace mbt::cpu {

CpuBackend::CpuBackend(int num_threads) : num_threads_(resolve_thread_count(num_threads)) { use_threads(num_threads_); }

BackendFacts CpuBackend::facts() const {
  const Processor& p = processor();
  const char* bf16_units = p.has_amx_bf16      ? "amx_bf16"
                           : p.has_avx512_bf16 ? "avx512_bf16"
                           : p.has_arm_bf16    ? "arm bf16"
                                               : "none: bf16 GEMM runs as fp32";
  return {
      {"processor", p.model},
      {"loops", name_of(level())},
      {"bf16 units", bf16_units},
      {"gemm", gemm_.description()},
      {"attention", attention_support(AttentionBackend::automatic, {}).how},
      {"threads", std::to_string(num_threads_)},
  };
}

std::string CpuBackend::identity() const { return fmt::format("{}, {}, {}", processor().model, name_of(level()), gemm_.description()); }

void* CpuBackend::allocate(size_t bytes) {
  void* data = allocate_zeroed(bytes);
  allocated_bytes_ += bytes;
  return data;
}

void CpuBackend::deallocate(void* data, size_t bytes) noexcept {
  if (data == nullptr) return;
  cpu::deallocate(data, bytes);
  allocated_bytes_ -= bytes;
}

std::optional<AvailableMemory> CpuBackend::available_memory() const {
  const std::optional<size_t> bytes = available_memory_bytes();
  if (!bytes) return std::nullopt;
  return AvailableMemory{.bytes = *bytes, .is_limit = false};
}

void CpuBackend::upload(const void* host, TensorView device) { std::memcpy(device.data, host, static_cast<size_t>(device.size_bytes())); }

void CpuBackend::download(ConstTensorView device, void* host) { std::memcpy(host, device.data, static_cast<size_t>(device.size_bytes())); }

void CpuBackend::fill_zero(TensorView t) {
  constexpr int64_t kPiece = int64_t{1} << 20;
  use_threads(num_threads_);
  const int64_t bytes = t.size_bytes();
#pragma omp parallel for schedule(static)
  for (int64_t first = 0; first < bytes; first += kPiece) {
    std::memset(static_cast<char*>(t.data) + first, 0, static_cast<size_t>(std::min(kPiece, bytes - first)));
  }
}

}  // namespace mbt::cpu
