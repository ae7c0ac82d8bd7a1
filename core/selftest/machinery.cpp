#include "core/selftest/machinery.h"

#include <cstring>

#include "core/selftest/device_tensor.h"

namespace mbt::selftest {
namespace {

constexpr const char* kNothing = "none: the same bytes";

std::vector<uint8_t> pattern(size_t bytes, uint8_t seed) {
  std::vector<uint8_t> out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<uint8_t>(i * 7 + (i >> 8) * 13 + seed);
  return out;
}

Outcome run_memory(Backend& on) {
  Outcome worst{0, 0, "bytes"};
  for (const size_t bytes : {size_t{1}, size_t{4097}, size_t{1} << 20}) {
    const Buffer memory(on, bytes);
    std::vector<uint8_t> got(bytes, 1);
    on.download({memory.data(), DType::u8, {static_cast<int64_t>(bytes)}}, got.data());
    worst.join(compare_bytes(got, std::vector<uint8_t>(bytes), "new memory"));
    if (reinterpret_cast<uintptr_t>(memory.data()) % 256 != 0) worst.join({1, 0, "bytes", "memory is not aligned to 256 bytes"});
  }
  return worst;
}

/// Larger than one staging buffer is likely to be, and many small ones that use each again.
Outcome run_upload(Backend& on) {
  Outcome worst{0, 0, "bytes"};
  for (const size_t bytes : {size_t{3}, size_t{1000}, size_t{5} << 20}) {
    const DeviceArray<uint8_t> memory(on, std::vector<uint8_t>(bytes), DType::u8);
    std::vector<uint8_t> host = pattern(bytes, 1);
    on.upload(host.data(), memory);
    std::memset(host.data(), 0, bytes);  // free to change on return
    worst.join(compare_bytes(memory.read(), pattern(bytes, 1), "what was uploaded"));
  }
  return worst;
}

Outcome run_stage(Backend& on) {
  constexpr size_t kBytes = 8192, kTimes = 9;
  Outcome worst{0, 0, "bytes"};
  std::vector<DeviceArray<uint8_t>> all;
  for (size_t i = 0; i < kTimes; ++i) all.emplace_back(on, std::vector<uint8_t>(kBytes), DType::u8);
  for (size_t i = 0; i < kTimes; ++i) {
    const std::vector<uint8_t> bytes = pattern(kBytes, static_cast<uint8_t>(i));
    std::memcpy(on.stage(all[i]), bytes.data(), kBytes);
    on.submit_staged();
  }
  for (size_t i = 0; i < kTimes; ++i) worst.join(compare_bytes(all[i].read(), pattern(kBytes, static_cast<uint8_t>(i)), "what was staged"));
  return worst;
}

Outcome run_fill_zero(Backend& on) {
  const DeviceTensor x(on, normal(DType::f32, {1001}, 1));
  on.fill_zero(x);
  return x.compare_bits(zeros(DType::f32, {1001}));
}

/// A small layer whose result is the next run's input, and so differs from run to run.
class Sequence {
 public:
  Sequence(Backend& on, DType act)
      : x_(on, normal(act, {32, 64}, 1)),
        weight_(on, normal(act, {64}, 2)),
        matrix_(on, normal(act, {64, 64}, 3, 0.125)),
        y_(on, zeros(act, {32, 64})),
        z_(on, zeros(act, {32, 64})),
        rstd_(on, zeros(DType::f32, {32})) {}
  void run(Backend& on) const {
    on.norm_fwd({.kind = NormKind::rmsnorm, .x = x_, .weight = weight_, .y = y_, .rstd = rstd_});
    on.gemm({.role = GemmRole::fprop, .a = y_.view(), .b = matrix_.view(), .d = z_});
    on.activation_fwd({.kind = ActivationKind::silu, .x = z_, .y = y_});
    on.add({.a = x_, .b = y_, .out = x_});
  }
  GuardedTensor result() const { return x_.read(); }

 private:
  DeviceTensor x_, weight_, matrix_, y_, z_, rstd_;
};

Outcome run_replay(Backend& on, DType act) {
  const Sequence by_op(on, act), replayed(on, act);
  Recording recording;
  Outcome worst{0, 0, "bytes"};
  for (int i = 0; i < 4; ++i) {  // runs, is recorded, runs as recorded
    by_op.run(on);
    on.replay(recording, [&] { replayed.run(on); });
    worst.join(compare_bytes(replayed.result().bytes(), by_op.result().bytes(), fmt::format("run {}", i + 1)));
  }
  if (!recording.refusal.empty()) worst.note += recording.refusal;
  return worst;
}

}  // namespace

Checks machinery_checks() {
  return {{"memory", "new memory, with zeros at aligned addresses", kNothing, kOtherDevice, run_memory},
          {"host.upload", "3 bytes to 5 MiB uploaded and downloaded, with what was given", kNothing, kOtherDevice, run_upload},
          {"host.stage", "nine staged uploads in a row, with what was given", kNothing, kOtherDevice, run_stage},
          {"fill_zero", "a filled tensor, with zeros", kNothing, kOtherDevice, run_fill_zero}};
}

Checks replay_checks(DType act) {
  return {{fmt::format("replay.{}", name_of(act)), "four runs of a recorded sequence, with the same ops one by one", kNothing,
           "--train.cuda_graph false", [act](Backend& on) { return run_replay(on, act); }}};
}

}  // namespace mbt::selftest
