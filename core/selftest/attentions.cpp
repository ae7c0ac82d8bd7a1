#include "core/selftest/attentions.h"

#include "core/reference/attention.h"
#include "core/reference/rope.h"
#include "core/selftest/device_tensor.h"

namespace mbt::selftest {
namespace {

using ref::AttentionCase;
using ref::AttentionReference;

const char* way_name(AttentionBackend way) {
  return way == AttentionBackend::automatic ? "auto" : way == AttentionBackend::flash ? "flash" : "math";
}
constexpr const char* kAllowance =
    "relative L2: fp32 sums in some order and one rounding to the output's dtype (2e-6 in f32, else two units)";

Outcome relative_l2(const DeviceTensor& got, const std::vector<double>& want, double allowed, const char* what) {
  const GuardedTensor now = got.read();
  if (!now.guards_intact()) return {INFINITY, 0, "bytes", fmt::format("attention wrote outside of {}", what)};
  return {ref::relative_error(now, want), allowed, "relative L2", what};
}

struct Call {
  AttentionCase c;
  DType act;
  AttentionBackend backend;
  bool has_documents;
};

/// The tensors of one call, and the reference.
struct Attention {
  Call call;
  std::vector<int32_t> starts;
  DeviceTensor qkv, d_out, out, lse, d_qkv;
  DeviceArray<int32_t> document_start;
  AttentionReference want;

  Attention(Backend& on, const Call& k)
      : call(k),
        starts(k.has_documents ? ref::documents_of(k.c, {31, 5, 70}) : std::vector<int32_t>()),
        qkv(on, normal(k.act, {k.c.rows(), k.c.qkv_cols()}, 7)),
        d_out(on, normal(k.act, {k.c.rows(), k.c.heads * k.c.width}, 8)),
        out(on, zeros(k.act, {k.c.rows(), k.c.heads * k.c.width})),
        lse(on, zeros(DType::f32, {k.c.batch, k.c.heads, k.c.length})),
        d_qkv(on, normal(k.act, {k.c.rows(), k.c.qkv_cols()}, 9)),
        document_start(on, starts.empty() ? std::vector<int32_t>(1) : starts, DType::i32),
        want(k.c, qkv.start(), d_out.start(), starts) {}

  ConstTensorView documents() const { return starts.empty() ? ConstTensorView{} : ConstTensorView(document_start); }
  void forward(Backend& on) const {
    on.attention_fwd({.qkv = qkv,
                      .out = out,
                      .lse = lse,
                      .num_heads = call.c.heads,
                      .num_kv_heads = call.c.kv_heads,
                      .sequence_length = call.c.length,
                      .scale = call.c.scale(),
                      .backend = call.backend,
                      .document_start = documents()});
  }
  void backward(Backend& on) const {
    on.attention_bwd({.d_out = d_out,
                      .qkv = qkv,
                      .out = out,
                      .lse = lse,
                      .d_qkv = d_qkv,
                      .num_heads = call.c.heads,
                      .num_kv_heads = call.c.kv_heads,
                      .sequence_length = call.c.length,
                      .scale = call.c.scale(),
                      .backend = call.backend,
                      .document_start = documents()});
  }
};

Outcome run_forward(Backend& on, const Call& call) {
  const Attention a(on, call);
  a.forward(on);
  Outcome worst = relative_l2(a.out, a.want.out, ref::attention_tolerance(call.act), "out");
  worst.join(relative_l2(a.lse, a.want.lse, call.act == DType::bf16 ? 1e-5 : 2e-6, "lse"));
  return worst;
}

Outcome run_backward(Backend& on, const Call& call) {
  const Attention a(on, call);
  a.forward(on);
  a.backward(on);
  return relative_l2(a.d_qkv, a.want.d_qkv, ref::attention_tolerance(call.act), "d_qkv");
}

/// The last tokens by the cache, in two steps, against the rows of the whole.
Outcome run_cached(Backend& on, DType act) {
  const AttentionCase c{1, 37, 4, 2, 64};
  const Attention a(on, {c, act, AttentionBackend::automatic, false});
  const Shape cache{c.length, c.kv_heads * c.width};
  const DeviceTensor keys(on, zeros(act, cache)), values(on, zeros(act, cache));
  for (const int64_t first : {0, 30}) {
    const int64_t count = first == 0 ? 30 : c.length - 30;
    on.attention_cached({.qkv = a.qkv.view().row_range(first, count),
                         .k_cache = keys,
                         .v_cache = values,
                         .out = a.out.view().row_range(first, count),
                         .num_heads = c.heads,
                         .num_kv_heads = c.kv_heads,
                         .first_position = first,
                         .scale = c.scale()});
  }
  return relative_l2(a.out, a.want.out, ref::attention_tolerance(act), "out");
}

Outcome run_rope(Backend& on, DType act, bool with_ids) {
  const ref::RopeCase c{34, 17, 4, 2, 64, 32, 5};
  const DeviceTensor table(on, ref::rope_angles(c));
  std::vector<int32_t> ids;
  for (int64_t n = 0; n < c.rows; ++n)
    ids.push_back(static_cast<int32_t>(with_ids ? n * 7 % (c.first + c.length) : c.first + n % c.length));
  const DeviceArray<int32_t> positions(on, ids, DType::i32);
  Outcome worst;
  for (const bool inverse : {false, true}) {
    const DeviceTensor qkv(on, normal(act, {c.rows, c.cols()}, 1));
    RopeArgs args{.qkv = qkv,
                  .cos_sin = table,
                  .num_heads = c.heads,
                  .num_kv_heads = c.kv_heads,
                  .sequence_length = c.length,
                  .inverse = inverse,
                  .first_position = c.first};
    if (with_ids) args.positions = positions;
    on.rope(args);
    worst.join(qkv.compare("rope", ref::rope_reference(c, qkv.start(), table.start(), inverse,
                                                       [&](int64_t n) { return int64_t{ids[static_cast<size_t>(n)]}; })));
  }
  return worst;
}

}  // namespace

Checks attention_checks(DType act, const std::vector<HeadShape>& heads, const std::vector<AttentionBackend>& ways) {
  Checks checks;
  for (const AttentionBackend way : ways)
    for (const HeadShape& h : heads)
      for (const bool has_documents : {false, true}) {
        const Call call{{2, 70, 2 * h.group, 2, h.width}, act, way, has_documents};
        const std::string of =
            fmt::format("{}.{}.d{}.group{}{}", way_name(way), name_of(act), h.width, h.group, has_documents ? ".documents" : "");
        const std::string what = fmt::format("2 x 70 tokens, {} query and 2 key/value heads of {} in {}{}, with softmax in double",
                                             2 * h.group, h.width, name_of(act), has_documents ? ", several documents" : "");
        const char* around = way == AttentionBackend::math ? kOtherDevice : "--attention-backend math";
        checks.push_back({"attention_fwd." + of, what, kAllowance, around, [=](Backend& on) { return run_forward(on, call); }});
        checks.push_back({"attention_bwd." + of, what, kAllowance, around, [=](Backend& on) { return run_backward(on, call); }});
      }
  return checks;
}

Checks position_checks(DType act) {
  const std::string name(name_of(act));
  Checks checks = {{"attention_cached." + name, "37 tokens in two steps through the cache, with the whole sequence in double", kAllowance,
                    kOtherDevice, [=](Backend& on) { return run_cached(on, act); }}};
  for (const bool with_ids : {false, true})
    checks.push_back({fmt::format("rope.{}{}", name, with_ids ? ".positions" : ""),
                      "queries and keys rotated and rotated back, with double", kRounding, kOtherDevice,
                      [=](Backend& on) { return run_rope(on, act, with_ids); }});
  return checks;
}

}  // namespace mbt::selftest
