package org.sightline.benchmarks;

import org.openjdk.jmh.annotations.Benchmark;

/** A workload by each of its contenders. */
public abstract class RivalsBenchmark extends WorkloadState {
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

  /** What no implementation can go under: the bare products, or a copy of the same bytes. */
  @Benchmark
  public void floor() {
    run(Workload.Role.FLOOR);
  }
}
