#include "core/hf/convert/hf_export.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/json_text.h"
#include "core/base/strings.h"
#include "core/hf/convert/exported_chat.h"
#include "core/hf/hf_config.h"
#include "core/hf/hf_config_writer.h"
#include "core/hf/hf_names.h"
#include "core/hf/hf_source.h"
#include "core/io/atomic_folder.h"
#include "core/io/float_elements.h"
#include "core/model/params.h"
#include "core/tokenizer/bpe/hf_tokenizer_config.h"
#include "core/tokenizer/open_tokenizer.h"
#include "core/train/checkpoint/checkpoint.h"

namespace mbt {
namespace {

constexpr int64_t kExportedAtOnce = 4 << 20;  // elements

/// A tensor to write, and where it comes from.
struct Output {
  HfTensor tensor;  ///< with its shape, also of weights
  HfSlice slice;    ///< of weights and tied copies
};

const char* torch_name(SafetensorsType type) {
  return type == SafetensorsType::BF16 ? "bfloat16" : type == SafetensorsType::F16 ? "float16" : "float32";
}

SafetensorsType working_type(const ModelConfig& m) {
  return m.params_dtype == WeightDtype::bf16   ? SafetensorsType::BF16
         : m.params_dtype == WeightDtype::fp16 ? SafetensorsType::F16
                                               : SafetensorsType::F32;
}

bool is_weight(const HfTensor& t) { return t.kind == HfTensorKind::weight || t.kind == HfTensorKind::tied_copy; }

/// The tensors of the source, each joined with what this model has of it.
std::vector<Output> outputs_of(const HfSource& source, const std::vector<HfSlice>& slices, const std::string& where) {
  std::map<std::string, const HfSlice*> by_name;
  for (const HfSlice& s : slices) by_name[without_hf_prefix(s.hf_name)] = &s;
  const HfSlice* const embedding = &slices.front();
  std::vector<Output> outputs;
  std::set<std::string> written;
  for (const HfTensor& t : source.tensors) {
    Output o{t, {}};
    if (is_weight(t)) {
      const auto found = by_name.find(without_hf_prefix(t.name));
      const HfSlice* const slice = t.kind == HfTensorKind::tied_copy ? embedding : found == by_name.end() ? nullptr : found->second;
      if (!slice) throw InputError(fmt::format("{}: tensor {} is no weight of this model", where, shown(t.name)));
      if (t.kind == HfTensorKind::weight) written.insert(slice->hf_name);
      o.slice = *slice;
      o.tensor.shape = slice->hf_shape;
    }
    outputs.push_back(std::move(o));
  }
  for (const HfSlice& s : slices)
    if (!written.contains(s.hf_name))
      throw InputError(fmt::format("{}: the model's weight {} is not among the tensors of its source", where, shown(s.hf_name)));
  return outputs;
}

std::vector<Output> outputs_of(const std::vector<HfSlice>& slices, SafetensorsType type) {
  std::vector<Output> outputs;
  for (const HfSlice& s : slices)
    outputs.push_back({{.name = s.hf_name, .type = type, .kind = HfTensorKind::weight, .shape = s.hf_shape, .bytes = {}}, s});
  return outputs;
}

TensorToWrite to_write(const Output& o) { return {.name = o.tensor.name, .type = o.tensor.type, .shape = o.tensor.shape}; }

class TensorBytes {
 public:
  TensorBytes(const CheckpointReader& checkpoint, const ParamList& params, int64_t total, const ConversionProgress& progress)
      : checkpoint_(checkpoint), params_(params), total_(total), progress_(progress) {}

  const void* of(const Output& o) {
    const HfTensor& t = o.tensor;
    if (t.kind == HfTensorKind::constant) bytes_ = t.bytes;
    else if (t.kind == HfTensorKind::causal_mask) fill_mask(t);
    else fill_weight(o);
    return bytes_.data();
  }

 private:
  void fill_mask(const HfTensor& t) {
    const int64_t positions = t.shape.back();
    bytes_.clear();
    for (int64_t r = 0; r < positions; ++r) bytes_ += causal_mask_row(t.type, positions, r);
    report(static_cast<int64_t>(bytes_.size()));
  }

  void fill_weight(const Output& o) {
    const HfSlice& s = o.slice;
    const Shape& shape = params_.specs[static_cast<size_t>(params_.index_of(s.parameter))].shape;
    const int64_t size = s.rows * s.cols, width = size_of(o.tensor.type);
    bytes_.resize(static_cast<size_t>(size * width));
    std::string encoded(static_cast<size_t>(std::min(kExportedAtOnce, size) * width), '\0');
    for (int64_t first = 0; first < size; first += kExportedAtOnce) {
      const int64_t count = std::min(kExportedAtOnce, size - first);
      const std::vector<float> values = checkpoint_.read(s.parameter, shape, {s.row_begin * s.cols + first, count});
      const int64_t beyond = encode_elements(o.tensor.type, values.data(), count, encoded.data());
      if (beyond >= 0) {
        throw InputError(fmt::format("{}: tensor '{}' holds {}, which {} of '{}' cannot hold; take --dtype bf16 or fp32",
                                     checkpoint_.path(), s.parameter, values[static_cast<size_t>(beyond)], torch_name(o.tensor.type),
                                     o.tensor.name));
      }
      gather_elements(s, first, count, width, encoded.data(), bytes_.data());
      report(count * width);
    }
  }

  void report(int64_t bytes) {
    done_ += bytes;
    progress_(std::min(done_, total_), total_);
  }

  const CheckpointReader& checkpoint_;
  const ParamList& params_;
  int64_t total_, done_ = 0;
  const ConversionProgress& progress_;
  std::string bytes_;
};

/// In order, as full as they may be.
std::vector<std::vector<Output>> shards_of(const std::vector<Output>& outputs, int64_t max_bytes) {
  std::vector<std::vector<Output>> shards(1);
  int64_t filled = 0;
  for (const Output& o : outputs) {
    const int64_t bytes = to_write(o).size_bytes();
    if (!shards.back().empty() && bytes > max_bytes - filled) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(o);
    filled += bytes;
  }
  return shards;
}

/// What lies beside config.json and the weights.
struct FilesBeside {
  std::map<std::string, std::string> files;
  HfTokenIds tokens;
  std::string chat_note;
};

/// The tokenizer that the run was trained with takes the place of the source's. What ends texts is said there already, but for the run's.
FilesBeside files_of_source(const HfSource& source, const TokenizerFiles& tokenizer, const RunConfig& run, const std::string& where) {
  FilesBeside beside{.files = {source.files.begin(), source.files.end()}, .tokens = {}, .chat_note = ""};
  for (const auto& [name, content] : tokenizer) beside.files[name] = content;
  beside.chat_note = add_chat(run, where, beside.files, beside.tokens);
  std::string& generation = beside.files["generation_config.json"];
  generation = generation_config_text(beside.tokens, generation, source.config);
  if (generation.empty()) beside.files.erase("generation_config.json");
  return beside;
}

FilesBeside new_files(const RunConfig& run, const TokenizerFiles& carried, const std::string& where) {
  FilesBeside beside{.files = {carried.begin(), carried.end()}, .tokens = {}, .chat_note = ""};
  if (has_tokenizer(carried)) {
    const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(carried, where);
    beside.tokens = {.bos = tokenizer->bos_id(), .eos = tokenizer->eos_id(), .eod = tokenizer->eod_id(), .end_of_turn = {}};
    const bool is_vocab_and_merges = tokenizer->type() == TokenizerType::hugging_face && beside.files.count("tokenizer.json") == 0;
    beside.files.emplace("tokenizer_config.json",
                         tokenizer_config_text(*tokenizer, run.model.longest_sequence(), is_vocab_and_merges));  // unless it is there
  }
  beside.chat_note = add_chat(run, where, beside.files, beside.tokens);
  if (has_tokenizer(carried) || beside.tokens.eod) beside.files["generation_config.json"] = generation_config_text(beside.tokens);
  return beside;
}

std::string shard_name(size_t i, size_t shards) {
  if (shards == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, shards);
  return name;
}

void write_weights(const AtomicFolder& target, const std::vector<std::vector<Output>>& shards,
                   const std::map<std::string, std::string>& metadata, int64_t total, TensorBytes& bytes) {
  nlohmann::ordered_json map;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(i, shards.size());
    std::vector<TensorToWrite> tensors;
    for (const Output& o : shards[i]) {
      tensors.push_back(to_write(o));
      map[o.tensor.name] = name;
    }
    write_safetensors(target.file(name), tensors, metadata, [&](size_t t) { return bytes.of(shards[i][t]); });
  }
  if (shards.size() == 1) return;
  const nlohmann::ordered_json index{{"metadata", {{"total_size", total}}}, {"weight_map", map}};
  write_file_atomically(target.file("model.safetensors.index.json"), json_text(index, {.indent = 2}) + "\n");
}

}  // namespace

int64_t parse_shard_size(const std::string& written) {
  struct Unit {
    std::string_view name;
    int64_t bytes;
  };
  constexpr std::array kUnits{Unit{"", 1},
                              Unit{"B", 1},
                              Unit{"KB", 1000},
                              Unit{"MB", 1000'000},
                              Unit{"GB", 1000'000'000},
                              Unit{"KIB", int64_t{1} << 10},
                              Unit{"MIB", int64_t{1} << 20},
                              Unit{"GIB", int64_t{1} << 30}};
  int64_t number = 0;
  const auto [end, error] = std::from_chars(written.data(), written.data() + written.size(), number);
  std::string unit(end, written.data() + written.size());
  std::transform(unit.begin(), unit.end(), unit.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const auto known = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return u.name == unit; });
  int64_t bytes = 0;
  if (error != std::errc() || known == kUnits.end() || number < 1 || __builtin_mul_overflow(number, known->bytes, &bytes))
    throw InputError(
        fmt::format("--max-shard-size: got {}, expected a number from 1 on and KB, MB, GB, KiB, MiB, GiB or nothing (bytes), such as 5GB",
                    shown(written)));
  return bytes;
}

HfExport export_hf(const CheckpointReader& checkpoint, const std::string& out, const HfExportOptions& options,
                   const ConversionProgress& progress) {
  const RunConfig run = load_run_config(checkpoint);
  const ModelConfig& model = run.model;
  const std::optional<HfSource> source = load_hf_source(checkpoint);
  std::optional<JsonDocument> config;
  if (source) config = parse_json(source->config, fmt::format("{}/hf.config.json", checkpoint.path()), {.is_of_others = true});
  const std::string model_type = config ? hf_model_type(*config) : hf_family_of(model);
  const SafetensorsType type = options.dtype.value_or(working_type(model));
  const TokenizerFiles tokenizer = load_tokenizer_files(checkpoint);
  const FilesBeside beside =
      source ? files_of_source(*source, tokenizer, run, checkpoint.path()) : new_files(run, tokenizer, checkpoint.path());
  const std::string config_text = config ? hf_config_text(model, *config, source->config, options.dtype ? torch_name(type) : "")
                                         : new_hf_config_text(model, torch_name(type), beside.tokens);

  const std::vector<HfSlice> slices = hf_slices(model_type, model);
  std::vector<Output> outputs =
      source ? outputs_of(*source, slices, fmt::format("{}/{}", checkpoint.path(), kHfSourceFile)) : outputs_of(slices, type);
  for (Output& o : outputs)
    if (options.dtype && is_weight(o.tensor)) o.tensor.type = *options.dtype;
  const ParamList params = list_params(model);
  for (const ParamSpec& s : params.specs) static_cast<void>(checkpoint.read(s.name, s.shape, {}));  // there, and of this shape

  HfExport done{.model_type = model_type,
                .num_tensors = static_cast<int64_t>(outputs.size()),
                .has_source = source.has_value(),
                .has_tokenizer = has_tokenizer(tokenizer),
                .chat_note = beside.chat_note};
  for (const Output& o : outputs) done.bytes += to_write(o).size_bytes();
  const std::vector<std::vector<Output>> shards = shards_of(outputs, options.max_shard_size);
  done.num_files = static_cast<int64_t>(shards.size());

  AtomicFolder target(out);
  TensorBytes bytes(checkpoint, params, done.bytes, progress);
  write_weights(target, shards, source ? source->metadata : std::map<std::string, std::string>{{"format", "pt"}}, done.bytes, bytes);
  write_file_atomically(target.file("config.json"), config_text);
  for (const auto& [name, content] : beside.files) write_file_atomically(target.file(name), content);
  target.commit();
  return done;
}

}  // namespace mbt
