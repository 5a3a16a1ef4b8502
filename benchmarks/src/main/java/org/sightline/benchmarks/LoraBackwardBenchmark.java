package org.sightline.benchmarks;

import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** Backward pass (dx, dA, dB) of LoRA linear layers on one input. */
public class LoraBackwardBenchmark extends WorkloadState {
  /** The {@link WorkloadId} without its kind. */
  @Param({
    "nano.attn/512/fp32",
    "nano.qkv/512/fp32",
    "nano.qkv/512/bf16",
    "openvla-7b.attn/256/fp32",
    "openvla-7b.qkv/256/fp32",
    "openvla-7b.up/256/fp32",
    "openvla-7b.down/256/fp32",
    "openvla-7b.attn/256/bf16"
  })
  public String task;

  @Override
  protected String id() {
    return "lora-backward/" + task;
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

  /** The base products alone. */
  @Benchmark
  public void floor() {
    run(Workload.Role.FLOOR);
  }
}
