// cuBLASLt, loaded when a GPU is about to be used. The program does not link it: linked, its absence would keep mbtrain from starting on
// machines without CUDA, CPU runs included. The functions below have cuBLASLt's names and hand their arguments to the loaded library, so
// gemm_cublaslt.cpp is written as if it were linked; a function that it starts to use is one more line here (until then it does not link).
#include "kernels/cuda/gemm/cublaslt_library.h"

#include <cublasLt.h>

#include "core/base/error.h"
#include "kernels/cuda/runtime/loaded_library.h"

namespace mbt::cuda {
namespace {

#define MBT_QUOTED(x) #x
#define MBT_TEXT_OF(x) MBT_QUOTED(x)

const LoadedLibrary& library() {
  static const LoadedLibrary cublaslt("libcublasLt.so." MBT_TEXT_OF(CUBLAS_VER_MAJOR), "cuBLASLt",
                                      fmt::format("install CUDA {}'s cuBLAS", CUDART_VERSION / 1000),
                                      fmt::format("it is older than CUDA {}'s", CUDART_VERSION / 1000));
  return cublaslt;
}

}  // namespace

std::string cublaslt_problem() { return library().problem(); }
int runtime_version() { return CUDART_VERSION; }

}  // namespace mbt::cuda

extern "C" {
cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) MBT_HAND_ON(cublasLtCreate, handle) cublasStatus_t
    cublasLtDestroy(cublasLtHandle_t handle) MBT_HAND_ON(cublasLtDestroy, handle) size_t cublasLtGetVersion()
        MBT_HAND_ON(cublasLtGetVersion) const char* cublasLtGetStatusString(cublasStatus_t status)
            MBT_HAND_ON(cublasLtGetStatusString, status) cublasStatus_t
    cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, const void* alpha, const void* a,
                   cublasLtMatrixLayout_t a_layout, const void* b, cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                   cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm,
                   void* workspace, size_t workspace_bytes, cudaStream_t stream)
        MBT_HAND_ON(cublasLtMatmul, handle, operation, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm,
                    workspace, workspace_bytes, stream) cublasStatus_t
    cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a,
                                   cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                   cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t* results, int* found)
        MBT_HAND_ON(cublasLtMatmulAlgoGetHeuristic, handle, operation, a, b, c, d, preference, wanted, results, found) cublasStatus_t
    cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t operation, cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                            cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d, const cublasLtMatmulAlgo_t* algorithm,
                            cublasLtMatmulHeuristicResult_t* result)
        MBT_HAND_ON(cublasLtMatmulAlgoCheck, handle, operation, a, b, c, d, algorithm, result) cublasStatus_t
    cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t compute, cudaDataType_t scale)
        MBT_HAND_ON(cublasLtMatmulDescCreate, operation, compute, scale) cublasStatus_t
    cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) MBT_HAND_ON(cublasLtMatmulDescDestroy, operation) cublasStatus_t
    cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute, const void* value,
                                   size_t bytes)
        MBT_HAND_ON(cublasLtMatmulDescSetAttribute, operation, attribute, value, bytes) cublasStatus_t
    cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows, uint64_t cols, int64_t ld)
        MBT_HAND_ON(cublasLtMatrixLayoutCreate, layout, type, rows, cols, ld) cublasStatus_t
    cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) MBT_HAND_ON(cublasLtMatrixLayoutDestroy, layout) cublasStatus_t
    cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference)
        MBT_HAND_ON(cublasLtMatmulPreferenceCreate, preference) cublasStatus_t
    cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
        MBT_HAND_ON(cublasLtMatmulPreferenceDestroy, preference) cublasStatus_t
    cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
                                         const void* value, size_t bytes)
        MBT_HAND_ON(cublasLtMatmulPreferenceSetAttribute, preference, attribute, value, bytes)
}  // extern "C"
