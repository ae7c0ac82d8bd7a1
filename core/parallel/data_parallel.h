// The communication of data-parallel training. With one rank nothing is exchanged and nothing is allocated.
#pragma once

#include <memory>

#include "core/backend/backend.h"
#include "core/config/run_config.h"
#include "core/model/transformer.h"
#include "core/model/weights.h"
#include "core/parallel/gradient_exchange.h"
#include "core/parallel/param_exchange.h"

namespace mbt {

/// The calls of a step: begin_step(); micro-batches, each with hooks(); reduce_gradients(); the optimizer, which calls add_up();
/// publish_step(). Every rank makes the same calls.
class DataParallel {
 public:
  /// weights: planned for sharding_of(ddp, rank, ranks). All must outlive it.
  DataParallel(Backend& backend, World& world, const DdpConfig& ddp, const PrecisionPolicy& policy, Weights& weights);

  World& world() { return world_; }
  int rank() const { return world_.rank(); }
  int ranks() const { return world_.ranks(); }
  /// What carries the tensors; empty with one rank.
  std::string transport() const { return collectives_ ? collectives_->name() : std::string(); }
  /// Every rank's loss gradients are times this, so that the sum over ranks is a mean; 1 when the collective takes the mean.
  double loss_factor() const { return averages_in_collective_ ? 1.0 : 1.0 / ranks(); }

  /// Gradients := 0.
  void begin_step();
  /// Returns the hooks of a micro-batch that overlaps with receiving parameters or sending gradients; nullptr: it overlaps with neither.
  UnitHooks* hooks(bool is_first, bool is_last);
  /// Gradients := sums over ranks, of this rank's pieces or of everything (sharded optimizer or not).
  void reduce_gradients();

  /// Sums over ranks: f64 [1] each, and the maximum of non_finite, i32 [1]. Empty tensors are left out.
  void add_up(TensorView squared_norm, TensorView non_finite, TensorView loss_sum);
  /// Returns the ranges that this rank sums for the gradient norm: its pieces of the buckets, with or without a sharded optimizer, so that
  /// both give the same bits.
  const std::vector<ElementRange>& norm_ranges() const { return norm_ranges_; }
  /// Delayed scaling's staged amaxes := their maximum over ranks.
  void reduce_amax(TensorView staged);
  /// The same for the amaxes that are staged now. Idempotent.
  void reduce_staged_amaxes();

  /// After masters were set from outside: working weights and codes of all ranks are made from them.
  void publish_masters();
  /// After the optimizer, once nobody reads the gradients any more. was_skipped: no weight has changed.
  void publish_step(bool was_skipped);
  /// Waits until all parameters have arrived.
  void finish_publishing();

 private:
  class Hooks final : public UnitHooks {
   public:
    explicit Hooks(DataParallel& owner) : owner_(owner) {}
    void before_forward(int64_t unit) override;
    void after_backward(int64_t unit) override;
    bool is_first = false, is_last = false;

   private:
    DataParallel& owner_;
  };

  Backend& backend_;
  World& world_;
  Weights& weights_;
  bool averages_in_collective_, overlaps_gradients_, overlaps_params_;
  std::unique_ptr<Collectives> collectives_;  // before what uses it
  std::unique_ptr<GradientExchange> gradients_;
  std::unique_ptr<ParamExchange> params_;  // sharded optimizer only
  std::vector<ElementRange> norm_ranges_;
  Hooks hooks_{*this};
};

}  // namespace mbt
