// Collectives on tensors of a backend. They are asynchronous: a call returns at once, and its work begins when the backend's earlier ops
// are done. Ops that follow wait() run after the collective. Every rank must make the same calls in the same order.
#pragma once

#include <cstdint>
#include <string>

#include "core/tensor/tensor_view.h"

namespace mbt {

/// out = factor * sum over ranks of in's piece for this rank. The sum is in f32, in rank order, and rounded once, to nearest even. When a
/// library adds (NCCL), the library chooses the order, which is the same for every call of the same shape. It also chooses the precision of
/// sums of 16-bit types, unless `with_f32_sums` requests f32.
struct ReduceScatterArgs {
  ConstTensorView in;  // [ranks * n] f32, bf16 or f16
  TensorView out;      // [n], dtype of in; may be this rank's piece of `in`: elements [rank * n, (rank + 1) * n)
  float factor = 1.0f;
  bool with_f32_sums = false;

  void check(int ranks) const {
    MBT_CHECK(in.dtype == DType::f32 || in.dtype == DType::bf16 || in.dtype == DType::f16, "reduce_scatter: in is {}", in.str());
    MBT_CHECK(out.dtype == in.dtype && in.size() == ranks * out.size(), "reduce_scatter: in {}, out {}, {} ranks", in.str(), out.str(),
              ranks);
  }
};

/// out[r * n, ...) = in of rank r.
struct AllGatherArgs {
  ConstTensorView in;  // [n] of any dtype; may be this rank's piece of `out`
  TensorView out;      // [ranks * n], dtype of in

  void check(int ranks) const {
    MBT_CHECK(out.dtype == in.dtype && out.size() == ranks * in.size(), "all_gather: in {}, out {}, {} ranks", in.str(), out.str(), ranks);
  }
};

enum class ReduceOp : uint8_t { sum, max };

/// t = sum or maximum over ranks, element by element, in the order of ranks; the same bits on every rank. For small tensors.
/// max: NaNs are ignored.
struct AllReduceArgs {
  TensorView t;  // [n] f32, f64 or i32
  ReduceOp op = ReduceOp::sum;

  void check() const { MBT_CHECK(t.dtype == DType::f32 || t.dtype == DType::f64 || t.dtype == DType::i32, "all_reduce: {}", t.str()); }
};

class Collectives {
 public:
  /// Names a call: they count from 1.
  using Ticket = uint64_t;

  Collectives() = default;
  Collectives(const Collectives&) = delete;
  Collectives& operator=(const Collectives&) = delete;
  virtual ~Collectives() = default;

  /// "MPI", "NCCL 2.28.3": for the log.
  virtual std::string name() const = 0;
  virtual int rank() const = 0;
  virtual int ranks() const = 0;

  Ticket reduce_scatter(const ReduceScatterArgs& args) {
    args.check(ranks());
    return do_reduce_scatter(args);
  }
  Ticket all_gather(const AllGatherArgs& args) {
    args.check(ranks());
    return do_all_gather(args);
  }
  Ticket all_reduce(const AllReduceArgs& args) {
    args.check();
    return do_all_reduce(args);
  }
  /// Ops given to the backend from now on see the results of this call and of all before it. Throws what went wrong in them.
  virtual void wait(Ticket ticket) = 0;

 protected:
  virtual Ticket do_reduce_scatter(const ReduceScatterArgs& args) = 0;
  virtual Ticket do_all_gather(const AllGatherArgs& args) = 0;
  virtual Ticket do_all_reduce(const AllReduceArgs& args) = 0;
};

}  // namespace mbt
