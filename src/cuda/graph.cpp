// Work as a CUDA graph, after PyTorch's recipe for whole networks: the first runs on a stream of
// their own, then a recording on that stream.
#include "cuda/graph.h"

#include <optional>

#include "cuda/torch_cuda.h"

namespace nestvit::cuda {
namespace {

using c10::cuda::CUDAStream;

// Streams, events and generators are those of the current GPU.
class CudaGraph : public train::Graph {
 public:
  CudaGraph(train::Work work, const torch::Device& gpu)
      : work_(std::move(work)),
        gpu_(gpu),
        stream_(c10::cuda::getStreamFromPool(false, gpu.index())) {}

  ~CudaGraph() override {
    // Its memory goes with it: nothing may still be using it.
    if (graph_) cudaDeviceSynchronize();
  }

  const std::vector<torch::Tensor>& run() override {
    const c10::cuda::CUDAGuard guard(gpu_);
    if (runs_ < kFirstRuns) {
      ++runs_;
      run_beside();
      return results_;
    }
    if (!graph_) record();
    graph_->replay();
    return results_;
  }

 private:
  // libtorch's advice: cuDNN and cuBLAS choose their algorithms in the first runs.
  static constexpr int kFirstRuns = 3;

  static void order(const CUDAStream& before, const CUDAStream& after) {
    at::cuda::CUDAEvent event;
    event.record(before);
    event.block(after);
  }

  void run_beside() {
    const CUDAStream current = c10::cuda::getCurrentCUDAStream(gpu_.index());
    order(current, stream_);
    {
      const c10::cuda::CUDAStreamGuard beside(stream_);
      results_ = work_();
    }
    order(stream_, current);
  }

  // Nothing may run during the recording. It gets memory of its own, so the memory that the first
  // runs left in the allocator's cache is freed before.
  void record() {
    results_.clear();
    C10_CUDA_CHECK(cudaDeviceSynchronize());
    c10::cuda::CUDACachingAllocator::emptyCache();
    auto graph = std::make_unique<at::cuda::CUDAGraph>();
    {
      const c10::cuda::CUDAStreamGuard beside(stream_);
      graph->capture_begin();
      try {
        results_ = work_();
      } catch (...) {
        end_broken(*graph);
        throw;
      }
      graph->capture_end();
    }
    graph_ = std::move(graph);
  }

  // The work's own error is the one to report.
  static void end_broken(at::cuda::CUDAGraph& graph) {
    try {
      graph.capture_end();
    } catch (const std::exception&) {
    }
  }

  train::Work work_;
  torch::Device gpu_;
  CUDAStream stream_;
  int runs_ = 0;
  std::unique_ptr<at::cuda::CUDAGraph> graph_;
  std::vector<torch::Tensor> results_;  // destroyed before the graph, whose memory it lies in
};

}  // namespace

std::unique_ptr<train::Graph> make_graph(train::Work work, const torch::Device& gpu) {
  return std::make_unique<CudaGraph>(std::move(work), gpu);
}

}  // namespace nestvit::cuda
