package org.sightline.benchmarks;

import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/**
 * The call of {@link AlignmentBenchmark} without a node of libtorch's graph, into buffers that are
 * there already. The rivals are measured there.
 */
public class AlignmentCallBenchmark extends WorkloadState {
  /** The {@link WorkloadId} without its kind. */
  @Param({
    "nano/64/fp32",
    "nano/512/fp32",
    "nano/512/bf16",
    "openvla-7b/256/fp32",
    "openvla-7b/256/bf16"
  })
  public String task;

  @Override
  protected String id() {
    return "alignment-call/" + task;
  }

  /** Sightline's kernels through its Java API. */
  @Benchmark
  public void sightline() {
    run(Workload.Role.SIGHTLINE);
  }
}
