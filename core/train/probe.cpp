#include "core/train/probe.h"

#include <algorithm>
#include <cmath>
#include <list>
#include <numeric>

#include "core/hf/hf_weights.h"
#include "core/io/safetensors.h"
#include "core/model/initialize.h"
#include "core/model/transformer.h"
#include "core/optim/lr_schedule.h"
#include "core/optim/optimizer.h"

namespace mbt {
namespace {

constexpr int32_t kIgnoredLabel = -100;  // as in PyTorch's cross_entropy: no loss there, whatever loss_mask says

struct ProbeBatches {
  int64_t count, batch, sequence;
  std::vector<int32_t> tokens, targets;
  std::vector<float> mask;

  int64_t size() const { return batch * sequence; }
  MicroBatch view(int64_t i) const { return {tokens.data() + i * size(), targets.data() + i * size(), mask.data() + i * size()}; }
  double tokens_in_loss(int64_t i) const { return std::accumulate(mask.begin() + i * size(), mask.begin() + (i + 1) * size(), 0.0); }
};

/// [steps, batch, sequence].
std::vector<int64_t> batches_shape(const SafetensorsFile& file) {
  const std::vector<int64_t>& shape = file.at("input_ids").shape;
  if (shape.size() != 3 || shape[0] < 1 || shape[1] < 1 || shape[2] < 1)
    throw InputError(fmt::format("{}: input_ids must be [steps, batch, sequence], none of them 0", file.path()));
  return shape;
}

ProbeBatches read_batches(const std::string& path, const ModelConfig& model, int64_t steps) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const std::vector<int64_t> shape = batches_shape(file);
  for (const char* name : {"labels", "loss_mask"}) {
    if (file.at(name).shape != shape) throw InputError(fmt::format("{}: {} has another shape than input_ids", path, name));
  }
  ProbeBatches b{shape[0],
                 shape[1],
                 shape[2],
                 file.read_i32(file.at("input_ids")),
                 file.read_i32(file.at("labels")),
                 file.read_f32(file.at("loss_mask"))};
  if (steps > b.count) throw InputError(fmt::format("{}: holds {} batches, --steps asks for {}", path, b.count, steps));
  for (const float weight : b.mask) {
    if (!std::isfinite(weight) || weight < 0)
      throw InputError(fmt::format("{}: loss_mask holds {}, expected finite numbers from 0 on", path, weight));
  }
  for (int64_t i = 0; i < std::ssize(b.targets); ++i) {
    if (b.targets[static_cast<size_t>(i)] != kIgnoredLabel) continue;
    b.targets[static_cast<size_t>(i)] = 0;
    b.mask[static_cast<size_t>(i)] = 0;
  }
  for (const auto* ids : {&b.tokens, &b.targets}) {
    for (const int32_t id : *ids) {
      if (id < 0 || id >= model.vocab_size)
        throw InputError(fmt::format("{}: token {} is outside the vocabulary of {}", path, id, model.vocab_size));
    }
  }
  return b;
}

/// Named results, kept until they are written.
class Results {
 public:
  void add(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
    kept_.push_back(std::move(values));
    tensors_.push_back({name, SafetensorsType::F32, std::move(shape), kept_.back().data()});
  }
  /// One tensor for each tensor of the Hugging Face files, from a flat buffer in our layout.
  void add_all(const std::string& prefix, Weights& weights, const TensorView& flat, const std::vector<HfSlice>& slices) {
    for (const HfSlice& s : slices)
      add(prefix + s.hf_name, s.hf_shape, gather_hf(s, weights.get(flat, weights.params().index_of(s.parameter))));
  }
  void write(const std::string& path) const { write_safetensors(path, tensors_); }

 private:
  std::list<std::vector<float>> kept_;
  std::vector<TensorToWrite> tensors_;
};

class Probe {
 public:
  Probe(Backend& backend, const RunConfig& config, const PrecisionPolicy& policy, const ProbeBatches& batches)
      : backend_(backend),
        config_(config),
        batches_(batches),
        weights_(backend, config.model, policy, true),
        transformer_(backend, config.model, policy, weights_, batches.batch, true) {
    initialize_weights(weights_, config.model, static_cast<uint64_t>(config.rng.seed));
    weights_.refresh_working();
  }

  /// Loss of batch i; gradients scaled by `loss_scale` are in weights.grad().
  double forward_backward(int64_t i, float loss_scale) {
    backend_.fill_zero(weights_.grad());
    transformer_.reset_loss_sum();
    const double tokens = batches_.tokens_in_loss(i);
    const PassContext pass{.seed = static_cast<uint64_t>(config_.rng.seed), .stream = static_cast<uint64_t>(i)};
    transformer_.forward_backward(pass, batches_.view(i), static_cast<float>(loss_scale / std::max(1.0, tokens)));
    double sum = 0.0;
    backend_.download(transformer_.loss_sum(), &sum);
    return tokens > 0.0 ? sum / tokens : std::nan("");
  }

  void first_batch(Results& results, const std::vector<HfSlice>& slices) {
    const int64_t vocab = config_.model.vocab_size, padded = config_.model.padded_vocab_size();
    std::vector<float> logits(static_cast<size_t>(batches_.size() * vocab));
    transformer_.set_logits_hook([&](ConstTensorView chunk, int64_t first_row) {
      Buffer memory(backend_, static_cast<size_t>(chunk.size()) * sizeof(float));
      const TensorView f32(memory.data(), DType::f32, chunk.shape);
      backend_.cast({.src = chunk, .dst = f32});
      std::vector<float> values(static_cast<size_t>(chunk.size()));
      backend_.download(f32, values.data());
      for (int64_t r = 0; r < chunk.rows(); ++r) std::copy_n(values.data() + r * padded, vocab, logits.data() + (first_row + r) * vocab);
    });
    const double loss = forward_backward(0, 1.0f);
    transformer_.set_logits_hook({});
    results.add("loss", {1}, {static_cast<float>(loss)});
    results.add("logits", {batches_.batch, batches_.sequence, vocab}, std::move(logits));
    results.add_all("grad.", weights_, weights_.grad(), slices);
  }

  void steps(Results& results, const std::vector<HfSlice>& slices, int64_t count) {
    Optimizer optimizer(backend_, config_.optimizer, weights_);
    LossScaler scaler = make_loss_scaler(config_.optimizer);
    const LrSchedule schedule(config_.optimizer, config_.scheduler, config_.train);
    std::vector<float> losses, norms;
    for (int64_t i = 0; i < count; ++i) {
      losses.push_back(static_cast<float>(forward_backward(i, scaler.scale)));
      const int64_t samples = i * config_.train.global_batch_size;
      norms.push_back(static_cast<float>(optimizer.step(scaler, schedule.lr(samples), schedule.weight_decay(samples), false).grad_norm));
    }
    results.add("losses", {count}, losses);
    results.add("grad_norms", {count}, norms);
    results.add_all("after.", weights_, weights_.master(), slices);
  }

 private:
  Backend& backend_;
  const RunConfig& config_;
  const ProbeBatches& batches_;
  Weights weights_;
  Transformer transformer_;
};

}  // namespace

int64_t probe_sequence(const std::string& batch_file) { return batches_shape(SafetensorsFile::open(batch_file))[2]; }

void run_probe(Backend& backend, RunConfig config, const PrecisionPolicy& policy, const std::string& batch_file,
               const std::string& out_file, int64_t steps) {
  if (config.model.hf_path.empty()) throw InputError("probe: model.hf_path is not set; it names the Hugging Face folder to probe");
  const ProbeBatches batches = read_batches(batch_file, config.model, steps);
  if (config.model.max_position_embeddings && batches.sequence > *config.model.max_position_embeddings) {
    throw InputError(fmt::format("{}: sequences of {} tokens are longer than the model's {} positions", batch_file, batches.sequence,
                                 *config.model.max_position_embeddings));
  }
  config.model.seq_length = batches.sequence;
  config.train.micro_batch_size = config.train.global_batch_size = batches.batch;
  config.train.train_iters = std::max<int64_t>(steps, 1);
  config.train.train_samples.reset();
  Results results;
  const std::vector<HfSlice> slices = HfWeights(config.model.hf_path, config.model).slices();
  Probe probe(backend, config, policy, batches);
  probe.first_batch(results, slices);
  if (steps > 0) {
    Probe fresh(backend, config, policy, batches);  // the state of batch 0's pass (amax histories) must not leak into the steps
    fresh.steps(results, slices, steps);
  }
  results.write(out_file);
}

}  // namespace mbt
