package org.sightline.benchmarks;

/** Backward pass: dx, dA, dB. */
public class LoraBackwardBenchmark extends LoraBenchmark {
  @Override
  protected String id() {
    return "lora-backward/" + task;
  }
}
