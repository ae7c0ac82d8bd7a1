// The verbs of mbtrain. Each lives in cmd_<verb>.cpp, takes the arguments after its name and returns the exit code (0 done, 1 the run
// failed); bad usage and bad input are thrown as InputError, which main() turns into exit code 2.
#pragma once

#include <string>
#include <vector>

namespace mbt {

int cmd_bench(const std::vector<std::string>& args);
int cmd_completion(const std::vector<std::string>& args);
int cmd_config(const std::vector<std::string>& args);
int cmd_data(const std::vector<std::string>& args);
int cmd_convert(const std::vector<std::string>& args);
int cmd_doctor(const std::vector<std::string>& args);
int cmd_eval(const std::vector<std::string>& args);
int cmd_generate(const std::vector<std::string>& args);
int cmd_help(const std::vector<std::string>& args);
int cmd_man(const std::vector<std::string>& args);
int cmd_plan(const std::vector<std::string>& args);
/// defaults: of another program, section.field=value: they count as not said.
int cmd_plan(const std::vector<std::string>& args, const std::vector<std::string>& defaults);
int cmd_pretrain_gpt(const std::vector<std::string>& args);
int cmd_probe(const std::vector<std::string>& args);
int cmd_recipes(const std::vector<std::string>& args);
int cmd_selftest(const std::vector<std::string>& args);
int cmd_train(const std::vector<std::string>& args);
int cmd_train(const std::vector<std::string>& args, const std::vector<std::string>& defaults);
int cmd_tokenize(const std::vector<std::string>& args);
int cmd_tokenizer(const std::vector<std::string>& args);
int cmd_quantize(const std::vector<std::string>& args);
int cmd_verify_resume(const std::vector<std::string>& args);

struct Verb {
  const char* name;
  const char* doc;  ///< one line of `mbtrain help`
  int (*run)(const std::vector<std::string>& args);
  bool on_ranks = false;  ///< under a launcher all ranks run it together; false: only rank 0 runs it
};

/// In the order of `mbtrain help`.
inline const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all = {
      {"train", "Train a model", cmd_train, true},
      {"pretrain_gpt", "Train with Megatron-LM's command line", cmd_pretrain_gpt, true},
      {"plan", "Show what a run will do, without doing it", cmd_plan},
      {"recipes", "List the mixed-precision recipes, show one, compare two", cmd_recipes},
      {"generate", "Continue a text with a model", cmd_generate},
      {"eval", "Perplexity of texts, multiple choice", cmd_eval},
      {"tokenize", "Turn text, JSONL and folders into tokens for training, and back", cmd_tokenize},
      {"data", "Look at training data: a file's header, a batch of a run; merge Megatron pairs", cmd_data},
      {"tokenizer", "Show a tokenizer; train a SentencePiece model", cmd_tokenizer},
      {"convert", "Convert models from and to Hugging Face folders", cmd_convert},
      {"probe", "Run a Hugging Face model for a few steps and write every number", cmd_probe},
      {"doctor", "Show what this machine and this build offer, and how each recipe would run", cmd_doctor},
      {"selftest", "Prove on this machine that products, quantization, attention, ... compute what they must", cmd_selftest, true},
      {"config", "Show the config fields: JSON Schema, reference, a resolved config", cmd_config},
      {"bench", "Measure this machine: matrix products, memory-bound ops, a training step", cmd_bench, true},
      {"verify-resume", "Check that a saved and resumed run is bit-identical to an uninterrupted one", cmd_verify_resume, true},
      {"quantize", "Quantize the tensors of a safetensors file as a recipe would", cmd_quantize},
      {"help", "Explain a verb, a section of the config or a field", cmd_help},
      {"completion", "Print the completion of mbtrain for bash, zsh or fish", cmd_completion},
      {"man", "Print the man page", cmd_man},
  };
  return all;
}

}  // namespace mbt
