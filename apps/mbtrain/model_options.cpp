#include "apps/mbtrain/model_options.h"

#include "apps/mbtrain/log.h"
#include "apps/mbtrain/verb_options.h"
#include "core/train/plan/plan_precision.h"
#include "kernels/kernels.h"

namespace mbt {

void ModelOptions::add_to(VerbOptions& options) {
  options.add_option("--checkpoint.load,--load", folder.folder, "Folder of a run, of one checkpoint, or of a Hugging Face model")
      .required()
      .called("FOLDER");
  options.add_option("--ckpt-step", folder.step, "Iteration to load; by default the newest");
  options
      .add_option("--tokenizer", folder.tokenizer,
                  "tokenizer.json, SentencePiece model, a folder with one, or bytes; by default the model's own")
      .called("TOKENIZER");
  options
      .add_option("--mixed-precision", folder.recipe,
                  "Recipe to compute with; default: the training recipe, for a Hugging Face folder bf16_mixed")
      .called("RECIPE");
  options.add_option("--device", device, "Where to compute").one_of({"auto", "cpu", "cuda"});
}

std::vector<std::string> chat_template_names() {
  std::vector<std::string> names;
  for (const EnumName& n : EnumNames<ChatFormat>::all) names.emplace_back(n.name);
  return names;
}

OpenModel open_model(const ModelOptions& options) {
  OpenModel model{.folder = open_model_folder(options.folder), .backend = nullptr, .policy = {}, .weights = nullptr};
  if (!model.folder.note.empty()) log_warning(model.folder.note);
  model.backend = make_backend(options.device, static_cast<int>(model.folder.config.train.num_threads));
  model.policy = supported_policy(model.folder.config, *model.backend);
  model.weights = load_model(model.folder, model.policy, *model.backend);
  return model;
}

}  // namespace mbt
