// The backend interface: everything that the transformer, the optimizer and the trainer need from a device. The model is written once,
// against this interface. Ops are asynchronous and return nothing; synchronize() and download() wait. The backend owns streams, handles and
// scratch.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/comm/collectives.h"
#include "core/comm/world.h"
#include "core/ops/activation.h"
#include "core/ops/attention.h"
#include "core/ops/cross_entropy.h"
#include "core/ops/embedding.h"
#include "core/ops/gemm.h"
#include "core/ops/norm.h"
#include "core/ops/op_list.h"
#include "core/ops/optimizer.h"
#include "core/ops/quantize.h"
#include "core/ops/shard_quantize.h"

namespace mbt {

class Backend;

/// Owns a block of a backend's memory, zeroed, aligned to 256 bytes; frees it on destruction. Must not outlive the backend.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Backend& owner, size_t bytes);
  Buffer(Buffer&& o) noexcept { swap(o); }
  Buffer& operator=(Buffer&& o) noexcept {
    Buffer(std::move(o)).swap(*this);
    return *this;
  }
  ~Buffer();
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void swap(Buffer& o) noexcept {
    std::swap(owner_, o.owner_);
    std::swap(data_, o.data_);
    std::swap(bytes_, o.bytes_);
  }
  Backend* owner_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

/// What allocate() can still give.
struct AvailableMemory {
  size_t bytes = 0;
  bool is_limit = true;  ///< false: an estimate, because the system commits memory lazily
};

/// A recorded sequence of ops that is repeated: what a backend keeps so that it can run the sequence without a call per op
/// (Backend::replay). Belongs to one backend and must not outlive it.
class Recording {
 public:
  struct State {
    virtual ~State() = default;
  };
  /// Discards the recording. Call it when more than the contents of tensors has changed; the next replay() records again.
  void reset() { *this = Recording(); }

  std::unique_ptr<State> state;  ///< the backend's own
  std::string refusal;           ///< why recording failed, so that it runs op by op; empty: recording did not fail
};

/// How a backend executes a GEMM on operands of the given specs.
enum class Execution : uint8_t { native, emulated, unsupported };
struct GemmSupport {
  Execution execution = Execution::native;
  std::string how;  ///< one sentence: "bf16 GEMM on exactly dequantized codes", or why it is not supported
};

/// A product of a linear layer Y[tokens,out] = X[tokens,in] W[out,in]^T, for questions before there are tensors.
struct GemmShape {
  GemmRole role;
  int64_t tokens, out_features, in_features;
};

/// Attention of one layer, for questions before there are tensors.
struct AttentionShape {
  DType act;
  int64_t head_dim, sequence_length;
  float scale;
};
struct AttentionSupport {
  bool is_supported = true;
  std::string path;  ///< which runs: "flash", "math", or what a backend with one way calls it
  std::string how;   ///< one sentence: why this one, or why not
};

/// One line of what the backend is and chose: {"processor", "AMD EPYC, avx512_bf16"}, ...
using BackendFacts = std::vector<std::pair<std::string, std::string>>;

class Backend {
 public:
  virtual ~Backend() = default;
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // -- identity --------------------------------------------------------------------------------------------------------------------------
  virtual std::string name() const = 0;  ///< "cpu", "cuda"
  virtual BackendFacts facts() const = 0;
  /// The hardware, and the driver and libraries that compute on it, with their versions: while this stays the same, so do results.
  virtual std::string identity() const { return name(); }
  /// Plain act GEMMs: null specs.
  virtual GemmSupport gemm_support(const QuantSpec* a, const QuantSpec* b, DType act) const = 0;
  /// Scratch that the backend will keep for such a product (wgrad into f32, else into act); products share it, so the largest counts.
  virtual size_t gemm_scratch_bytes(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const = 0;
  /// Why a product of this size cannot run although its specs are supported, and what to change; empty: it can.
  virtual std::string gemm_size_problem(const GemmShape& shape, const QuantSpec* a, const QuantSpec* b, DType act) const = 0;
  /// Returns whether column-wise copies under `spec` must have transposed codes (QuantCopy::is_transposed), as products read them.
  virtual bool wants_transposed(const QuantSpec& spec) const = 0;

  /// Returns which attention path runs when `wanted` is requested.
  virtual AttentionSupport attention_support(AttentionBackend wanted, const AttentionShape& shape) const = 0;

  // -- memory ----------------------------------------------------------------------------------------------------------------------------
  virtual void* allocate(size_t bytes) = 0;  ///< zeroed, 256-byte aligned; throws Error naming the size when there is not enough
  virtual void deallocate(void* data, size_t bytes) noexcept = 0;
  virtual void upload(const void* host, TensorView device) = 0;  ///< host bytes in device order and dtype; free to change on return
  /// Starts an upload without an intermediate copy. Returns host memory of the size of `device`; fill it, then call submit_staged(). Only
  /// one upload can be staged at a time.
  virtual void* stage(TensorView device) = 0;
  virtual void submit_staged() = 0;
  virtual void download(ConstTensorView device, void* host) = 0;  ///< waits for earlier ops
  virtual void synchronize() = 0;
  virtual size_t allocated_bytes() const = 0;                                               ///< by allocate(), now
  virtual size_t scratch_bytes() const = 0;                                                 ///< kept by the backend itself
  virtual std::optional<AvailableMemory> available_memory() const { return std::nullopt; }  ///< nothing: unknown
  /// Allocates this much scratch now, so that no later step has to.
  virtual void reserve_scratch(size_t) {}

  /// Collectives that reach this backend's memory; every rank of `world` calls it together. Both must outlive the result. AgreedError
  /// with exit code 2 says what is missing (NCCL).
  virtual std::unique_ptr<Collectives> connect(World& world) = 0;
  /// Returns the scratch bytes that those collectives keep on one rank.
  virtual size_t exchange_scratch_bytes(int ranks) const = 0;

  // -- sequences of ops ------------------------------------------------------------------------------------------------------------------
  /// Runs `ops`. Each call must make the same ops with the same arguments (only the contents of tensors differ) and call no other function
  /// of this class. A backend may run its recording instead of calling `ops`.
  virtual void replay(Recording&, const std::function<void()>& ops) { ops(); }
  /// Begins a named range for a profiler; end_range() ends it. Ranges nest. Range (range.h) calls both.
  virtual void begin_range(const char*) {}
  virtual void end_range() noexcept {}

  // -- ops: check, then do ---------------------------------------------------------------------------------------------------------------
#define MBT_DECLARE_OP(op, Args) \
  void op(const Args& args) {    \
    args.check(#op);             \
    begin_op(#op);               \
    do_##op(args);               \
  }
  MBT_FOR_EACH_OP(MBT_DECLARE_OP)
#undef MBT_DECLARE_OP
  virtual void fill_zero(TensorView t) = 0;

 protected:
  /// What a backend does before each op whose arguments have passed their check.
  virtual void begin_op(const char*) {}
#define MBT_DECLARE_DO(op, Args) virtual void do_##op(const Args& args) = 0;
  MBT_FOR_EACH_OP(MBT_DECLARE_DO)
#undef MBT_DECLARE_DO
};

inline Buffer::Buffer(Backend& owner, size_t bytes) : owner_(&owner), data_(owner.allocate(bytes)), bytes_(bytes) {}
inline Buffer::~Buffer() {
  if (data_ != nullptr) owner_->deallocate(data_, bytes_);
}

}  // namespace mbt
