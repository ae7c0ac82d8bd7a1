#include "tests/emulation/kernels/faults.h"

#include "kernels/cuda/device/ptx.h"
#include "kernels/cuda/device/shared.h"

namespace mbt::cuda {
namespace {

constexpr unsigned kAllLanes = 0xFFFFFFFFU;

struct Shared {
  alignas(16) float values[64];
};

// -- memory ------------------------------------------------------------------------------------------------------------------------------

__global__ void write_beyond(float* out, const float*) { out[threadIdx.x + (threadIdx.x == 63 ? 3 : 0)] = 1; }
__global__ void write_before(float* out, const float*) { *(out + threadIdx.x - (threadIdx.x == 0 ? 2 : 0)) = 1; }
__global__ void read_beyond(float* out, const float* in) { out[threadIdx.x] = in[threadIdx.x + 1]; }
__global__ void read_misaligned_vector(float* out, const float* in) {
  const float4 v = *reinterpret_cast<const float4*>(in + 1);
  out[threadIdx.x] = v.x;
}
__global__ void read_unwritten_shared(float* out, const float* in) {
  auto& shared = shared_memory<Shared>();
  if (threadIdx.x != 7) shared.values[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = shared.values[threadIdx.x];
}
__global__ void use_too_much_shared(float* out, const float*) {
  struct TooMuch {
    float values[100];
  };
  out[threadIdx.x] = shared_memory<TooMuch>().values[0];
}
__global__ void write_beyond_shared(float* out, const float*) {
  auto& shared = shared_memory<Shared>();
  float* const values = shared.values;
  values[threadIdx.x + 1] = 1;
  out[threadIdx.x] = 1;
}

// -- order -------------------------------------------------------------------------------------------------------------------------------

__global__ void miss_barrier(float* out, const float* in) {
  auto& shared = shared_memory<Shared>();
  shared.values[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = shared.values[63 - threadIdx.x];
}
__global__ void miss_second_barrier(float* out, const float* in) {
  auto& shared = shared_memory<Shared>();
  float sum = 0;
  for (int round = 0; round < 2; ++round) {
    shared.values[threadIdx.x] = in[threadIdx.x] * static_cast<float>(round + 1);
    __syncthreads();
    sum += shared.values[63 - threadIdx.x];  // and the next round overwrites it
  }
  out[threadIdx.x] = sum;
}
/// Each warp's sum goes to the other through one place a round: a warp that runs ahead overwrites what the other has not read yet.
__global__ void miss_barrier_between_warps(float* out, const float* in) {
  auto& shared = shared_memory<Shared>();
  const unsigned warp = threadIdx.x / 32;
  float total = 0;
  for (int round = 1; round < 4; ++round) {
    float sum = in[threadIdx.x] * static_cast<float>(round);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
    if (threadIdx.x % 32 == 0) shared.values[warp] = sum;
    __syncthreads();
    const float other = shared.values[1 - warp];  // and then no barrier, but an operation of the warp
    total += __shfl_sync(kAllLanes, other, 0);
  }
  out[threadIdx.x] = total;
}
__global__ void miss_syncwarp(float* out, const float* in) {
  auto& shared = shared_memory<Shared>();
  shared.values[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = shared.values[threadIdx.x ^ 1];
}
__global__ void sum_in_any_order(float* out, const float* in) { atomicAdd(out, in[threadIdx.x]); }
__global__ void order_of_blocks(float* out, const float*) {
  if (threadIdx.x == 0) out[static_cast<int>(atomicAdd(&out[63], 1.0F))] = static_cast<float>(blockIdx.x);
}
__global__ void miss_copy_wait(float* out, const float* in) {
  auto& shared = shared_memory<Shared>();
  if (threadIdx.x < 16) cp_async_16(&shared.values[threadIdx.x * 4], in + threadIdx.x * 4);
  cp_async_commit();
  __syncthreads();
  out[threadIdx.x] = shared.values[threadIdx.x];
}
__global__ void wait_for_too_few_copies(float* out, const float* in) {
  auto& shared = shared_memory<Shared>();
  if (threadIdx.x < 16) cp_async_16(&shared.values[threadIdx.x * 4], in + threadIdx.x * 4);
  cp_async_commit();
  cp_async_wait<1>();  // one group may still be under way: the only one
  __syncthreads();
  out[threadIdx.x] = shared.values[threadIdx.x];
}
__global__ void copy_to_odd_address(float* out, const float* in) {
  auto& shared = shared_memory<Shared>();
  cp_async_16(&shared.values[1], in);
  cp_async_wait_all();
  out[threadIdx.x] = 1;
}

// -- barriers ----------------------------------------------------------------------------------------------------------------------------

__global__ void divergent_barriers(float* out, const float*) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}
__global__ void end_before_barrier(float* out, const float*) {
  if (threadIdx.x == 5) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void barrier_against_shuffle(float* out, const float* in) {
  float value = in[threadIdx.x];
  if (threadIdx.x == 3) {
    __syncthreads();
  } else {
    value = __shfl_sync(kAllLanes, value, 0);
  }
  out[threadIdx.x] = value;
}

// -- warps -------------------------------------------------------------------------------------------------------------------------------

__global__ void caller_not_in_mask(float* out, const float*) { out[threadIdx.x] = static_cast<float>(__ballot_sync(0x0000FFFFU, 1)); }
__global__ void masks_differ(float* out, const float* in) {
  out[threadIdx.x] = __shfl_xor_sync(threadIdx.x % 32 < 2 ? 0x3U : kAllLanes, in[threadIdx.x], 1);
}
__global__ void masks_differ_while_waiting(float* out, const float* in) {
  out[threadIdx.x] = threadIdx.x < 3 ? __shfl_xor_sync(threadIdx.x == 1 ? 0x3U : 0x7U, in[threadIdx.x], 1) : 0.0F;
}
__global__ void lane_has_ended(float* out, const float* in) {
  if (threadIdx.x == 40) return;
  out[threadIdx.x] = __shfl_xor_sync(kAllLanes, in[threadIdx.x], 1);
}
__global__ void lane_waits_elsewhere(float* out, const float* in) {
  float value = in[threadIdx.x];
  if (threadIdx.x % 2 == 0) {
    value = __shfl_xor_sync(kAllLanes, value, 2);
  } else {
    value = __shfl_xor_sync(kAllLanes, value, 4);
  }
  out[threadIdx.x] = value;
}
__global__ void read_lane_outside_mask(float* out, const float* in) {
  out[threadIdx.x] = threadIdx.x < 16 ? __shfl_sync(0x0000FFFFU, in[threadIdx.x], 20) : 0.0F;
}
__global__ void read_row_outside_shared(float* out, const float* in) {
  uint32_t r[4];
  ldmatrix_x4(r, in);
  out[threadIdx.x] = static_cast<float>(r[0]);
}

using Kernel = void (*)(float*, const float*);
struct Fault {
  const char* name;
  Kernel kernel;
};
#define FAULT(name) \
  { #name, name }
const Fault kFaults[] = {
    FAULT(write_beyond),
    FAULT(write_before),
    FAULT(read_beyond),
    FAULT(read_unwritten_shared),
    FAULT(use_too_much_shared),
    FAULT(write_beyond_shared),
    FAULT(miss_barrier),
    FAULT(miss_second_barrier),
    FAULT(miss_barrier_between_warps),
    FAULT(miss_syncwarp),
    FAULT(sum_in_any_order),
    FAULT(order_of_blocks),
    FAULT(miss_copy_wait),
    FAULT(copy_to_odd_address),
    FAULT(divergent_barriers),
    FAULT(end_before_barrier),
    FAULT(barrier_against_shuffle),
    FAULT(caller_not_in_mask),
    FAULT(masks_differ),
    FAULT(lane_has_ended),
    FAULT(lane_waits_elsewhere),
    FAULT(read_lane_outside_mask),
    FAULT(read_row_outside_shared),
    FAULT(wait_for_too_few_copies),
    FAULT(masks_differ_while_waiting),
    FAULT(read_misaligned_vector),
};

}  // namespace

void launch_fault(const std::string& name, float* out, const float* in) {
  for (const Fault& fault : kFaults) {
    if (name != fault.name) continue;
    const LaunchShape shape{name == "order_of_blocks" ? 50U : 1U, 64, sizeof(Shared)};
    return launch(fault.name, fault.kernel, shape, nullptr, out, in);
  }
  throw Error(fmt::format("no faulty kernel '{}'", name));
}

}  // namespace mbt::cuda
