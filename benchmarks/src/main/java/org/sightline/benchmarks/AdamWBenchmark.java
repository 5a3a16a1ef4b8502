package org.sightline.benchmarks;

import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;

/** One clipped AdamW step over all adapter tensors. */
public class AdamWBenchmark extends WorkloadState {
  /** The {@link WorkloadId} without its kind. */
  @Param({"nano/-/fp32", "openvla-7b/-/fp32"})
  public String task;

  @Override
  protected String id() {
    return "adamw/" + task;
  }

  /** New gradients; a step takes far longer than JMH's clock needs. */
  @Setup(Level.Invocation)
  public void prepare() {
    workload().prepare();
  }

  /** Sightline's kernels through its Java API. */
  @Benchmark
  public void sightline() {
    run(Workload.Role.SIGHTLINE);
  }

  /** libtorch's operations for the same result. */
  @Benchmark
  public void libtorch() {
    run(Workload.Role.EAGER);
  }

  /** A copy that moves the same bytes. */
  @Benchmark
  public void floor() {
    run(Workload.Role.FLOOR);
  }
}
