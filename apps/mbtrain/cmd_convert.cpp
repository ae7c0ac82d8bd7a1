// mbtrain convert: between Hugging Face folders and the folders of runs.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "apps/mbtrain/cli.h"
#include "apps/mbtrain/commands.h"
#include "apps/mbtrain/log.h"
#include "apps/mbtrain/progress_line.h"
#include "apps/mbtrain/stop_signals.h"
#include "apps/mbtrain/text_table.h"
#include "apps/mbtrain/verb_options.h"
#include "core/base/strings.h"
#include "core/hf/convert/hf_export.h"
#include "core/hf/convert/hf_import.h"
#include "core/train/checkpoint/checkpoint_folder.h"

namespace mbt {
namespace {

double giga(int64_t bytes) { return static_cast<double>(bytes) * 1e-9; }

/// Also without a terminal: a large model takes minutes.
class ConversionLine {
 public:
  void operator()(int64_t done, int64_t total) {
    if (StopSignals::came()) throw Error("interrupted; nothing was written");
    if (!line_.is_due()) return;
    const double percent = 100.0 * static_cast<double>(done) / static_cast<double>(std::max<int64_t>(total, 1));
    line_.show(
        fmt::format("{}{}{}", formatted("%5.1f %%  ", percent), formatted("%.1f of ", giga(done)), formatted("%.1f GB", giga(total))));
  }

 private:
  ProgressLine line_{ProgressLine::Where::terminal, 10};
};

int from_hf(const std::vector<std::string>& args) {
  VerbOptions options(
      "Convert a Hugging Face folder (GPT-2, Llama 2 and 3, Qwen 2 and 3, Mistral) to a run folder, with the weights at iteration 0",
      "mbtrain convert from-hf");
  std::string folder, out;
  options.add_option("DIR", folder, "Folder with config.json and model.safetensors, or shards with their index")
      .required()
      .called("FOLDER");
  options.add_option("OUT", out, "New folder").required().called("FOLDER");
  std::optional<int64_t> seq_length;
  options
      .add_option("--seq-length", seq_length,
                  "The run's sequence length; required when the model's sliding window is shorter than its positions")
      .range(int64_t{1}, int64_t{1} << 30);
  options.parse(args);
  HfImport done;
  {
    ConversionLine line;
    done = import_hf(folder, out, seq_length, [&](int64_t now, int64_t total) { line(now, total); });
  }
  std::printf("wrote %s: %s, %.3f M parameters, vocabulary %lld padded to %lld\n", done.checkpoint.c_str(), done.model_type.c_str(),
              static_cast<double>(done.num_params) * 1e-6, static_cast<long long>(done.vocab_size),
              static_cast<long long>(done.padded_vocab_size));
  if (!done.tokenizer_problem.empty())
    log_warning(fmt::format("its tokenizer cannot be used: {}; text data needs another one (--tokenizer-model); token files need none",
                            done.tokenizer_problem));
  if (done.sliding_window)
    std::printf("the model takes sequences of up to %lld tokens, its sliding window; longer ones are not implemented\n",
                static_cast<long long>(*done.sliding_window));
  std::printf("train it:   mbtrain --config %s --checkpoint.load %s --checkpoint.finetune true ...\n", done.config_file.c_str(),
              out.c_str());
  std::printf("bring back: mbtrain convert to-hf %s NEW_DIR\n", out.c_str());
  return 0;
}

int to_hf(const std::vector<std::string>& args) {
  VerbOptions options(
      "Convert a checkpoint to a Hugging Face folder for transformers. A model that came from one keeps its names, types, "
      "config.json and tokenizer",
      "mbtrain convert to-hf");
  std::string folder, out, dtype = "source", shard_size = "5GB";
  int64_t step = -1;
  bool verify = true;
  options.add_option("RUN", folder, "Folder of a run, or of one checkpoint").required().called("FOLDER");
  options.add_option("OUT", out, "New folder").required().called("FOLDER");
  options
      .add_option("--dtype", dtype,
                  "dtype of the weights: fp32, bf16, fp16, or source: as in the Hugging Face folder that it came from, or the run's "
                  "params_dtype without one")
      .one_of({"source", "fp32", "bf16", "fp16"});
  options.add_option("--max-shard-size", shard_size, "Largest size of one file: 5GB, 500MB, 1GiB, ...").called("SIZE");
  options.add_option("--ckpt-step", step, "Iteration to take; by default the newest");
  options.add_option("--verify-integrity", verify, "Compare the files that are read with their checksums; false: only their sizes");
  options.parse(args);
  HfExportOptions how{.dtype = std::nullopt, .max_shard_size = parse_shard_size(shard_size)};
  const std::map<std::string, SafetensorsType> types{
      {"fp32", SafetensorsType::F32}, {"bf16", SafetensorsType::BF16}, {"fp16", SafetensorsType::F16}};
  if (dtype != "source") how.dtype = types.at(dtype);

  const std::optional<FoundCheckpoint> found = find_checkpoint(folder, step < 0 ? std::nullopt : std::optional<int64_t>(step));
  if (!found) {
    const bool is_hf = std::filesystem::exists(std::filesystem::path(folder) / "config.json");
    throw InputError(
        fmt::format("{}: holds no checkpoint{}", folder,
                    is_hf ? "; it is a Hugging Face folder (config.json): convert it with mbtrain convert from-hf DIR OUT" : ""));
  }
  if (!found->note.empty()) log_warning(found->note);
  HfExport done;
  {
    ConversionLine line;
    done = export_hf(CheckpointReader(found->path, verify), out, how, [&](int64_t now, int64_t total) { line(now, total); });
  }
  std::printf("wrote %s: %s, %lld tensors of %.3f GB in %lld file%s, of %s\n", out.c_str(), done.model_type.c_str(),
              static_cast<long long>(done.num_tensors), giga(done.bytes), static_cast<long long>(done.num_files),
              done.num_files == 1 ? "" : "s", found->path.c_str());
  if (!done.chat_note.empty()) std::printf("%s\n", done.chat_note.c_str());
  if (!done.has_source && !done.has_tokenizer)
    std::printf("there is no tokenizer in it: the run's tokens are bytes, or those of files of tokens alone\n");
  return 0;
}

}  // namespace

int cmd_convert(const std::vector<std::string>& args) {
  const StopSignals stops;  // a conversion takes gigabytes that nobody would look for
  constexpr SubVerb kDirections[] = {
      {"from-hf", "DIR OUT: convert a Hugging Face folder to a run folder", from_hf},
      {"to-hf", "RUN OUT: convert a run's checkpoint to a Hugging Face folder", to_hf},
  };
  return run_sub_verb("convert", "Convert models between Hugging Face folders and the folders of runs", kDirections, args);
}

}  // namespace mbt
