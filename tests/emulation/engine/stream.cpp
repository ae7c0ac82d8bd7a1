#include "tests/emulation/engine/stream.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <set>
#include <utility>

#include "core/base/error.h"
#include "tests/emulation/engine/settings.h"

namespace emulation = mbt::emulation;
using emulation::Capture;
using emulation::report;
using emulation::Work;
using Clock = std::chrono::steady_clock;

struct CUstream_st {
  std::shared_ptr<Capture> capture;
  bool has_unjoined_work = false;  // it was drawn into a capture, and the stream that began it has not waited for its last work
  std::deque<Work> late;           // given and not done yet
  uint64_t given = 0, done = 0;
  int questions = 0;  // cudaStreamQuery and cudaEventQuery since it last had nothing to do
};
struct CUevent_st {
  bool timed = true, recorded = false;
  Clock::time_point time;
  std::shared_ptr<Capture> capture;  // recorded in a capturing stream, for others to join
  cudaStream_t stream = nullptr;
  uint64_t place = 0;  // how much the stream had been given
};
struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  std::vector<Work> work;
};

namespace {

int captures = 0;
std::set<cudaStream_t> streams;
bool is_held = false;  // by the work that runs
int64_t launched_graphs = 0;
cudaError_t lasting = cudaSuccess;

Capture* capture_of(cudaStream_t stream) { return stream == nullptr ? nullptr : stream->capture.get(); }

/// The stream does what it was given up to `place`, at most `most` of it. False: not all of that is done.
bool finish(cudaStream_t stream, uint64_t place, uint64_t most = UINT64_MAX) {
  if (streams.count(stream) == 0) return true;  // it was destroyed, and so finished
  for (; most > 0 && stream->done < place && !stream->late.empty(); --most) {
    Work work = std::move(stream->late.front());
    stream->late.pop_front();
    ++stream->done;
    is_held = false;
    work();
    if (!std::exchange(is_held, false)) continue;
    stream->late.push_front(std::move(work));
    --stream->done;
    break;
  }
  if (stream->late.empty()) stream->questions = 0;
  return stream->done >= place;
}
void finish_for(const char* call, cudaStream_t stream, uint64_t place) {
  if (!finish(stream, place)) throw mbt::Error(fmt::format("{} would wait for ever: what its stream does cannot end", call));
}
void finish_for(const char* call, cudaStream_t stream) {
  if (stream == nullptr) emulation::finish_all_streams();
  else finish_for(call, stream, stream->given);
}
/// A stream that is asked again and again is waited for: from the third question on each makes it do one thing.
void answer(cudaStream_t stream, uint64_t place) {
  if (++stream->questions > 2) finish(stream, place, 1);
}

/// The streams of a capture go back to doing work at once.
void end(const std::shared_ptr<Capture>& capture) {
  for (cudaStream_t stream : std::exchange(capture->streams, {})) {
    stream->capture.reset();
    stream->has_unjoined_work = false;
  }
  --captures;
}

}  // namespace

void emulation::submit(cudaStream_t stream, Work work) {
  Capture* const capture = capture_of(stream);
  if (capture == nullptr) {
    if (stream == nullptr) {
      finish_all_streams();
      return work();
    }
    stream->late.push_back(std::move(work));
    ++stream->given;
    if (!settings().late_streams) finish(stream, stream->given);
    return;
  }
  if (capture->streams.front() != stream) stream->has_unjoined_work = true;
  capture->work.push_back(std::move(work));
}

void emulation::finish_all_streams() {
  for (cudaStream_t stream : std::set<cudaStream_t>(streams)) finish_for("waiting for the device", stream);
}
void emulation::hold() { is_held = true; }

bool emulation::is_capturing() { return captures > 0; }
int64_t emulation::graph_launches() { return launched_graphs; }
void emulation::fail_from_now_on(cudaError_t error) { lasting = error; }
cudaError_t emulation::lasting_error() { return lasting; }

// -- streams -----------------------------------------------------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st;
  streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) { return cudaStreamCreateWithFlags(stream, flags); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (stream == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) end(std::shared_ptr<Capture>(stream->capture));
  finish_for("cudaStreamDestroy", stream);
  streams.erase(stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (capture_of(stream) != nullptr) return report(cudaErrorStreamCaptureUnsupported);
  if (stream == nullptr && emulation::is_capturing()) return report(cudaErrorStreamCaptureImplicit);
  finish_for("cudaStreamSynchronize", stream);
  return report(lasting);
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (stream == nullptr || capture_of(stream) != nullptr || stream->late.empty()) return cudaStreamSynchronize(stream);
  answer(stream, stream->given);
  return cudaErrorNotReady;
}
cudaError_t cudaDeviceSynchronize() {
  if (emulation::is_capturing()) return report(cudaErrorStreamCaptureUnsupported);
  emulation::finish_all_streams();
  return report(lasting);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (event->capture == nullptr || event->capture->streams.empty()) {
    emulation::submit(stream, [from = event->stream, place = event->place] {
      if (!finish(from, place)) emulation::hold();
    });
    return cudaSuccess;
  }
  if (stream == nullptr) return report(cudaErrorStreamCaptureImplicit);
  const std::shared_ptr<Capture> capture = event->capture;
  if (stream->capture == nullptr) {
    stream->capture = capture;
    capture->streams.push_back(stream);
  } else if (stream->capture != capture) {
    return report(cudaErrorIllegalState);
  }
  if (event->stream != stream) {
    if (capture->streams.front() != stream) stream->has_unjoined_work = true;
    event->stream->has_unjoined_work = false;
  }
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr) return report(cudaErrorStreamCaptureUnsupported);
  if (stream->capture != nullptr) return report(cudaErrorIllegalState);
  stream->capture = std::make_shared<Capture>();
  stream->capture->streams.push_back(stream);
  ++captures;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (capture_of(stream) == nullptr) return report(cudaErrorIllegalState);
  const std::shared_ptr<Capture> capture = stream->capture;
  if (capture->streams.front() != stream) return report(cudaErrorStreamCaptureUnmatched);
  const bool unjoined = std::any_of(capture->streams.begin(), capture->streams.end(), [](cudaStream_t s) { return s->has_unjoined_work; });
  end(capture);
  if (unjoined) return report(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(capture->work)};
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = capture_of(stream) != nullptr ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

// -- events ------------------------------------------------------------------------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st{(flags & cudaEventDisableTiming) == 0, false, {}, nullptr, nullptr, 0};
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  event->capture = stream == nullptr ? nullptr : stream->capture;
  event->stream = stream;
  event->place = stream == nullptr ? 0 : stream->given;
  event->recorded = true;
  event->time = Clock::now();
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event == nullptr) return report(cudaErrorInvalidResourceHandle);
  if (event->capture != nullptr) return report(cudaErrorStreamCaptureUnsupported);
  finish_for("cudaEventSynchronize", event->stream, event->place);
  return report(lasting);
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const bool is_late =
      event != nullptr && event->capture == nullptr && streams.count(event->stream) != 0 && event->stream->done < event->place;
  if (!is_late) return cudaEventSynchronize(event);
  answer(event->stream, event->place);
  return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  if (start == nullptr || end == nullptr || !start->recorded || !end->recorded || !start->timed || !end->timed) {
    return report(cudaErrorInvalidResourceHandle);
  }
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

// -- graphs ------------------------------------------------------------------------------------------------------------------------------

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  if (graph == nullptr) return report(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (executable == nullptr) return report(cudaErrorInvalidValue);
  if (capture_of(stream) != nullptr) return report(cudaErrorStreamCaptureUnsupported);
  if (lasting != cudaSuccess) return report(lasting);
  ++launched_graphs;
  emulation::submit(stream, [work = executable->work] {
    for (const Work& each : work) each();
  });
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
