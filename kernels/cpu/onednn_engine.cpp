// GemmEngine on oneDNN, 2.6 (Debian 12) and 3.x (Ubuntu 24.04).
#if MBT_HAVE_ONEDNN

#include <array>
#include <cstring>
#include <dnnl.hpp>
#include <unordered_map>

#include "core/base/error.h"
#include "kernels/cpu/gemm_engine.h"
#include "kernels/cpu/memory.h"
#include "kernels/cpu/processor.h"

namespace mbt::cpu {
namespace {

using dnnl::memory;

dnnl::engine& cpu_engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// Everything that a primitive fixes when it is made.
struct ProductKey {
  int64_t m, n, k;
  DType operand_type, result_type;
  bool a_is_transposed, b_is_transposed, has_alpha, has_bias, accumulates;

  explicit ProductKey(const MatrixProduct& p)
      : m(p.m),
        n(p.n),
        k(p.k),
        operand_type(p.operand_type),
        result_type(p.result_type),
        a_is_transposed(p.a_is_transposed),
        b_is_transposed(p.b_is_transposed),
        has_alpha(p.alpha != 1.0f),
        has_bias(p.bias != nullptr),
        accumulates(p.accumulate) {}
  bool operator==(const ProductKey&) const = default;
};

struct ProductKeyHash {
  size_t operator()(const ProductKey& p) const {
    const uint64_t flags = static_cast<uint64_t>(p.operand_type) | static_cast<uint64_t>(p.result_type) << 4 |
                           static_cast<uint64_t>(p.a_is_transposed) << 8 | static_cast<uint64_t>(p.b_is_transposed) << 9 |
                           static_cast<uint64_t>(p.has_alpha) << 10 | static_cast<uint64_t>(p.has_bias) << 11 |
                           static_cast<uint64_t>(p.accumulates) << 12;
    uint64_t h = flags;
    for (int64_t extent : {p.m, p.n, p.k}) h = (h ^ static_cast<uint64_t>(extent)) * 0x9E3779B97F4A7C15ull;
    return static_cast<size_t>(h ^ h >> 32);
  }
};

memory::desc matrix_desc(int64_t rows, int64_t cols, DType type, bool is_transposed) {
  const auto element = type == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  return {{rows, cols}, element, is_transposed ? memory::dims{1, rows} : memory::dims{cols, 1}};
}

/// One matmul with the post-operations sum -> sum * alpha -> + bias -> + c. As post-operations they happen on the fp32 accumulator,
/// in this order, in 2.x and 3.x alike.
class Primitive {
 public:
  explicit Primitive(const ProductKey& key) : key_(key) {
    const memory::desc a = matrix_desc(key.m, key.k, key.operand_type, key.a_is_transposed);
    const memory::desc b = matrix_desc(key.k, key.n, key.operand_type, key.b_is_transposed);
    const memory::desc c = matrix_desc(key.m, key.n, key.result_type, false);
    const memory::desc alpha({1, 1}, memory::data_type::f32, memory::dims{1, 1});
    const memory::desc bias({1, key.n}, memory::data_type::f32, memory::dims{key.n, 1});
    dnnl::post_ops after;
    if (key.has_alpha) after.append_binary(dnnl::algorithm::binary_mul, alpha);
    if (key.has_bias) after.append_binary(dnnl::algorithm::binary_add, bias);
    if (key.accumulates) after.append_sum(1.0f);
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(after);
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc description(cpu_engine(), a, b, c, attributes);
#else
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(a, b, c), attributes, cpu_engine());
#endif
    primitive_ = dnnl::matmul(description);
    scratchpad_bytes_ = description.scratchpad_desc().get_size();
    add(DNNL_ARG_SRC, a);
    add(DNNL_ARG_WEIGHTS, b);
    add(DNNL_ARG_DST, c);
    add(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc());
    int position = 0;
    if (key.has_alpha) add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(position++) | DNNL_ARG_SRC_1, alpha);
    if (key.has_bias) add(DNNL_ARG_ATTR_MULTIPLE_POST_OP(position++) | DNNL_ARG_SRC_1, bias);
  }

  size_t scratchpad_bytes() const { return scratchpad_bytes_; }

  void run(const MatrixProduct& p, void* scratchpad, const dnnl::stream& stream) {
    float alpha = p.alpha;
    int i = 0;
    bind(i++, const_cast<void*>(p.a));
    bind(i++, const_cast<void*>(p.b));
    bind(i++, p.c);
    bind(i++, scratchpad);
    if (key_.has_alpha) bind(i++, &alpha);
    if (key_.has_bias) bind(i++, const_cast<float*>(p.bias));
    // The C interface: the C++ one builds a hash map and two vectors for each call, which small attention tiles would notice.
    dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), stream.get(), count_, arguments_.data()), "oneDNN matmul failed");
  }

 private:
  static constexpr int kMaxArguments = 6;
  void add(int argument, const memory::desc& desc) {
    const auto i = static_cast<size_t>(count_++);
    memories_[i] = memory(desc, cpu_engine(), nullptr);
    arguments_[i] = {argument, memories_[i].get()};
  }
  void bind(int i, void* data) { memories_[static_cast<size_t>(i)].set_data_handle(data); }

  ProductKey key_;
  dnnl::matmul primitive_;
  size_t scratchpad_bytes_ = 0;
  int count_ = 0;
  std::array<memory, kMaxArguments> memories_;
  std::array<dnnl_exec_arg_t, kMaxArguments> arguments_;
};

/// The processor has the instructions and oneDNN may use them (its ONEDNN_MAX_CPU_ISA). A capability is a set of bits that contains those
/// of every lesser one.
[[maybe_unused]] bool may_use(dnnl::cpu_isa isa) {
  const auto wanted = static_cast<unsigned>(isa);
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

}  // namespace

struct GemmEngine::State {
  dnnl::stream stream{cpu_engine()};
  std::unordered_map<ProductKey, Primitive, ProductKeyHash> primitives;
  Scratch scratchpad;
};

GemmEngine::GemmEngine(int64_t small_limit) : state_(std::make_unique<State>()), small_limit_(small_limit) {}
GemmEngine::~GemmEngine() = default;

void GemmEngine::run(const MatrixProduct& product) {
  if (product.m == 0 || product.n == 0 || run_if_small(product, small_limit_)) return;
  try {
    const ProductKey key(product);
    auto found = state_->primitives.find(key);
    if (found == state_->primitives.end()) found = state_->primitives.try_emplace(key, key).first;
    void* scratchpad = state_->scratchpad.get<char>(found->second.scratchpad_bytes());
    found->second.run(product, scratchpad, state_->stream);
    state_->stream.wait();
  } catch (const dnnl::error& e) {
    throw Error(fmt::format("oneDNN: {} (status {}) for a product of {}x{} and {}x{} in {}", e.what(), static_cast<int>(e.status),
                            product.m, product.k, product.k, product.n, name_of(product.operand_type)));
  }
}

size_t GemmEngine::scratch_bytes() const { return state_->scratchpad.bytes(); }

bool GemmEngine::has_bf16() {
#if defined(__x86_64__)
  static const bool has = may_use(dnnl::cpu_isa::avx512_core_amx) || (may_use(dnnl::cpu_isa::avx512_core_bf16) && !processor().is_intel);
  return has;
#else
  return false;
#endif
}

std::string GemmEngine::description() {
  const dnnl_version_t* v = dnnl_version();
  const char* units = !has_bf16() ? "fp32 units" : may_use(dnnl::cpu_isa::avx512_core_amx) ? "AMX" : "AVX512-BF16";
  return fmt::format("oneDNN {}.{}.{}, bf16 on {}", v->major, v->minor, v->patch, units);
}

}  // namespace mbt::cpu

#endif  // MBT_HAVE_ONEDNN
