// The state of delayed scaling: every operand has a column of its own.
#include "core/model/delayed_state.h"

#include "core/model/weights.h"
#include "kernels/kernels.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_run.h"

namespace mbt::test::delayed_state_test {

TEST_CASE("each operand of each layer has its own amax and the scale that its format asks for") {
  const RunConfig c = tiny("bf16_with_fp8_delayed_scaling_mixed");  // gradients in E5M2
  const PrecisionPolicy policy = make_policy(c.model, c.ddp);
  const auto backend = make_backend("cpu");
  Weights weights(*backend, c.model, policy, true);
  DelayedState& state = weights.delayed();

  struct Operand {
    QuantTensorView q;
    float amax, fp8_max;
  };
  std::vector<Operand> operands;
  uint8_t code = 0;
  for (int64_t layer = 0; layer < c.model.num_layers; ++layer) {
    for (const LinearKind linear : {LinearKind::qkv, LinearKind::proj, LinearKind::fc1, LinearKind::fc2}) {
      const LinearPrecision& p = policy.linear(layer);
      for (const auto& [role, spec, fp8_max] : {std::tuple(TensorRole::input, *p.input, 448.0f),
                                                {TensorRole::weight, *p.weight, 448.0f},
                                                {TensorRole::grad_output, *p.grad_output, 57344.0f}}) {
        Operand& o = operands.emplace_back();
        o.q.spec = spec;
        o.q.rowwise.codes = &code;  // what is empty has no state
        o.amax = 1.0f + static_cast<float>(operands.size());
        o.fp8_max = fp8_max;
        state.attach(o.q, layer, linear, role);
      }
    }
  }
  for (const Operand& o : operands) *o.q.amax = o.amax;
  state.update(*backend);
  for (const Operand& o : operands) {
    CAPTURE(o.amax);
    CHECK(*o.q.scale == o.fp8_max / o.amax);
    CHECK(*o.q.amax == 0.0f);  // the staging slot is free again
  }
}

}  // namespace mbt::test::delayed_state_test
