package org.sightline.benchmarks;

import org.openjdk.jmh.annotations.Param;

/** LoRA linear layers on one input. */
public abstract class LoraBenchmark extends RivalsBenchmark {
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
}
