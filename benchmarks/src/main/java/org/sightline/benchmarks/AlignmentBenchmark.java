package org.sightline.benchmarks;

import org.openjdk.jmh.annotations.Param;

/** Alignment loss with the gradient of the hidden states, projector frozen. */
public class AlignmentBenchmark extends RivalsBenchmark {
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
    return "alignment/" + task;
  }
}
