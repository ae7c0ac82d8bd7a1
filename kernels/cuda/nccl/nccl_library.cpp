// NCCL, loaded when ranks connect, as cuBLASLt is (cublaslt_library.cpp): linked, its absence would keep mbtrain from starting where one
// GPU or none is used. The functions below have NCCL's names; one that nccl_collectives.cpp starts to use is one more line here.
#include "kernels/cuda/nccl/nccl_library.h"

#include <nccl.h>

#include "kernels/cuda/runtime/loaded_library.h"

namespace mbt::cuda {
namespace {

const LoadedLibrary& library() {
  static const LoadedLibrary nccl("libnccl.so.2", "NCCL", fmt::format("install NCCL 2 for CUDA {}", CUDART_VERSION / 1000),
                                  "it is older than NCCL 2.13");
  return nccl;
}

}  // namespace

std::string nccl_problem() { return library().problem(); }

}  // namespace mbt::cuda

extern "C" {
ncclResult_t ncclGetVersion(int* version) MBT_HAND_ON(ncclGetVersion, version) ncclResult_t ncclGetUniqueId(ncclUniqueId* id)
    MBT_HAND_ON(ncclGetUniqueId, id) ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank)
        MBT_HAND_ON(ncclCommInitRank, comm, ranks, id, rank) ncclResult_t ncclCommDestroy(ncclComm_t comm)
            MBT_HAND_ON(ncclCommDestroy, comm) ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error)
                MBT_HAND_ON(ncclCommGetAsyncError, comm, error) const char* ncclGetErrorString(ncclResult_t status)
                    MBT_HAND_ON(ncclGetErrorString, status) const char* ncclGetLastError(ncclComm_t comm)
                        MBT_HAND_ON(ncclGetLastError, comm) ncclResult_t
    ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                      cudaStream_t stream) MBT_HAND_ON(ncclReduceScatter, send, receive, count, type, op, comm, stream) ncclResult_t
    ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream)
        MBT_HAND_ON(ncclAllGather, send, receive, count, type, comm, stream) ncclResult_t
    ncclSend(const void* send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream)
        MBT_HAND_ON(ncclSend, send, count, type, peer, comm, stream) ncclResult_t
    ncclRecv(void* receive, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream)
        MBT_HAND_ON(ncclRecv, receive, count, type, peer, comm, stream) ncclResult_t ncclGroupStart()
            MBT_HAND_ON(ncclGroupStart) ncclResult_t ncclGroupEnd() MBT_HAND_ON(ncclGroupEnd)
}  // extern "C"
