// The GEMM core alone behind one C function, for benchmarks/gpu: no part of the library.
#pragma once

#include "cuda/alignment/backward_epilogues.cuh"
#include "cuda/gemm/gemm.cuh"

namespace sightline::cuda {

struct ProbeCall {
  bool a_mn, b_mn;
  GemmPlan plan;
  GemmProblem problem;
  StoreEpilogue::Params epilogue;
};

template <class T>
void probe(Stream& stream, const ProbeCall& call) {
  if (call.a_mn && call.b_mn) {
    gemm<T, Major::kMN, Major::kMN, StoreEpilogue>(stream, call.plan, call.problem, call.epilogue);
  } else if (call.b_mn) {
    gemm<T, Major::kK, Major::kMN, StoreEpilogue>(stream, call.plan, call.problem, call.epilogue);
  } else if (!call.a_mn) {
    gemm<T, Major::kK, Major::kK, StoreEpilogue>(stream, call.plan, call.problem, call.epilogue);
  } else {
    stream.fail(cudaErrorInvalidValue);
  }
}

}  // namespace sightline::cuda
