#include "core/recipe/finalize.h"

#include <optional>

#include "core/base/error.h"

namespace mbt {
namespace {

std::string join_pair(const char* format, std::optional<bool>& param, bool& gather, const std::set<std::string>& given) {
  const std::string param_name = fmt::format("{}_param", format);
  const std::string gather_name = fmt::format("{}_param_gather", format);
  const bool has_param = given.count(param_name) != 0 && param.has_value();
  const bool has_gather = given.count(gather_name) != 0;
  if (has_param && has_gather && *param != gather)
    return fmt::format("{} is {} and {} is {}; they are one setting, give one of them or both alike", param_name, *param ? "true" : "false",
                       gather_name, gather ? "true" : "false");
  if (has_param) gather = *param;
  param = gather;
  return "";
}

}  // namespace

std::string join_param_gather(MixedPrecisionConfig& c, const std::set<std::string>& given) {
  const std::string fp8 = join_pair("fp8", c.fp8_param, c.fp8_param_gather, given);
  return fp8.empty() ? join_pair("fp4", c.fp4_param, c.fp4_param_gather, given) : fp8;
}

void finalize(MixedPrecisionConfig& c) {
  if (!c.params_dtype) c.params_dtype = c.bf16 ? WeightDtype::bf16 : c.fp16 ? WeightDtype::fp16 : WeightDtype::fp32;
  if (!c.fp8_param) c.fp8_param = c.fp8_param_gather;
  if (!c.fp4_param) c.fp4_param = c.fp4_param_gather;
}

}  // namespace mbt
