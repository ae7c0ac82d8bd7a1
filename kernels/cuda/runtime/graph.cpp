#include "kernels/cuda/runtime/graph.h"

namespace mbt::cuda {

Graph::~Graph() {
  if (executable_ == nullptr || PeerWork::is_abandoned()) return;
  if (stream_ != nullptr) static_cast<void>(cudaStreamSynchronize(stream_));
  static_cast<void>(cudaGraphExecDestroy(executable_));
}

std::string Graph::record(cudaStream_t stream, const std::function<void()>& ops) {
  is_tried_ = true;
  // Thread-local: what other threads of the process do with CUDA is their business.
  std::string failure;
  cudaGraph_t graph = nullptr;
  cudaError_t status = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  if (status == cudaSuccess) {
    try {
      ops();
    } catch (const std::exception& e) {
      failure = e.what();
    }
    status = cudaStreamEndCapture(stream, &graph);
  }
  if (status == cudaSuccess && failure.empty()) status = cudaGraphInstantiate(&executable_, graph, 0);
  if (status != cudaSuccess && failure.empty()) failure = fmt::format("{} ({})", cudaGetErrorString(status), cudaGetErrorName(status));
  if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
  if (!failure.empty()) static_cast<void>(cudaGetLastError());
  return failure;
}

void Graph::launch(cudaStream_t stream) {
  stream_ = stream;
  check(cudaGraphLaunch(executable_, stream), "launching a CUDA graph");
}

}  // namespace mbt::cuda
