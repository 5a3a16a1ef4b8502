package org.sightline.benchmarks;

/** Forward pass, recorded for autograd. */
public class LoraForwardBenchmark extends LoraBenchmark {
  @Override
  protected String id() {
    return "lora-forward/" + task;
  }
}
