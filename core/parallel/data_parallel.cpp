#include "core/parallel/data_parallel.h"

namespace mbt {

DataParallel::DataParallel(Backend& backend, World& world, const DdpConfig& ddp, const PrecisionPolicy& policy, Weights& weights)
    : backend_(backend),
      world_(world),
      weights_(weights),
      averages_in_collective_(ddp.average_in_collective && world.ranks() > 1),
      overlaps_gradients_(ddp.overlap_grad_reduce && world.ranks() > 1),
      overlaps_params_(ddp.overlap_param_gather && weights.sharding().is_sharded()) {
  MBT_CHECK(weights.sharding().ranks == world.ranks() && weights.sharding().rank == world.rank(), "weights are laid out for rank {} of {}",
            weights.sharding().rank, weights.sharding().ranks);
  if (ranks() == 1) {
    norm_ranges_ = {{0, weights.params().flat_size}};
    return;
  }
  for (const Bucket& b : weights.params().buckets) norm_ranges_.push_back(b.piece(rank(), ranks()));
  collectives_ = backend.connect(world);
  if (weights.grad().empty()) return;  // an evaluation
  gradients_ = std::make_unique<GradientExchange>(backend, *collectives_, ddp, policy.grad_reduce, weights);
  if (weights.sharding().is_sharded()) params_ = std::make_unique<ParamExchange>(backend, *collectives_, policy.act, weights);
}

void DataParallel::begin_step() {
  if (!params_) return backend_.fill_zero(weights_.grad());
  for (const Bucket& b : weights_.params().buckets)
    if (!params_->occupies_gradients(b)) backend_.fill_zero(slice_of(weights_.grad(), b.elements));
}

UnitHooks* DataParallel::hooks(bool is_first, bool is_last) {
  hooks_.is_first = is_first && params_ && params_->is_under_way();
  hooks_.is_last = is_last && overlaps_gradients_;
  return hooks_.is_first || hooks_.is_last ? &hooks_ : nullptr;
}

void DataParallel::Hooks::before_forward(int64_t unit) {
  if (is_first) owner_.params_->arrive(unit);
}

void DataParallel::Hooks::after_backward(int64_t unit) {
  if (is_last) owner_.gradients_->launch_down_to(unit);
}

void DataParallel::reduce_gradients() {
  if (gradients_) gradients_->finish();
}

void DataParallel::add_up(TensorView squared_norm, TensorView non_finite, TensorView loss_sum) {
  if (!collectives_) return;
  Collectives::Ticket last = 0;
  if (!squared_norm.empty()) last = collectives_->all_reduce({.t = squared_norm});
  if (!non_finite.empty()) last = collectives_->all_reduce({.t = non_finite, .op = ReduceOp::max});
  if (!loss_sum.empty()) last = collectives_->all_reduce({.t = loss_sum});
  collectives_->wait(last);
}

void DataParallel::reduce_amax(TensorView staged) {
  if (collectives_) collectives_->wait(collectives_->all_reduce({.t = staged, .op = ReduceOp::max}));
}

void DataParallel::reduce_staged_amaxes() {
  if (!weights_.delayed().empty()) reduce_amax(weights_.delayed().staged());
}

void DataParallel::publish_masters() {
  if (!params_) return weights_.refresh_working();
  weights_.round_masters();
  params_->launch();
  params_->finish();
}

void DataParallel::publish_step(bool was_skipped) {
  if (!params_) return;  // the optimizer has renewed what this rank needs
  if (was_skipped && !params_->depends_on_scales()) return weights_.expire_codes();
  params_->launch();
  if (!overlaps_params_) params_->finish();
}

void DataParallel::finish_publishing() {
  if (params_ && params_->is_under_way()) params_->finish();
}

}  // namespace mbt
