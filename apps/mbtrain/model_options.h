// The options of verbs that use a trained model: which, with what tokenizer, on what device.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/mbtrain/verb_options.h"
#include "core/backend/backend.h"
#include "core/eval/model_folder.h"

namespace mbt {

struct ModelOptions {
  ModelFolderOptions folder;
  std::string device = "auto";

  /// --load, --ckpt-step, --tokenizer, --mixed-precision, --device
  void add_to(VerbOptions& options);
};

/// What --chat-template takes.
std::vector<std::string> chat_template_names();

/// A model on its device.
struct OpenModel {
  ModelFolder folder;
  std::unique_ptr<Backend> backend;
  PrecisionPolicy policy;
  std::unique_ptr<Weights> weights;
};

/// Opens the model that `options` name. Logs a warning for an unusual choice.
OpenModel open_model(const ModelOptions& options);

}  // namespace mbt
