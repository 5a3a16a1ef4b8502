package org.sightline.benchmarks;

import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;

/** One clipped AdamW step over all adapter tensors. */
public class AdamWBenchmark extends RivalsBenchmark {
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
}
