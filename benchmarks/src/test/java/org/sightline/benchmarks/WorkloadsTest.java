package org.sightline.benchmarks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is compared must be the same computation: contenders agree, on inputs that change. */
class WorkloadsTest {
  @ParameterizedTest
  @ValueSource(
      strings = {
        "alignment/tiny/1/fp32",
        "alignment/tiny/14/fp32",
        "alignment/tiny/14/bf16",
        "alignment-call/tiny/14/fp32",
        "alignment-call/tiny/7/bf16",
        "alignment/nano/64/fp32",
        "lora-forward/tiny.attn/3/fp32",
        "lora-forward/tiny.qkv/3/fp32",
        "lora-forward/tiny.qkv/3/bf16",
        "lora-forward/tiny.up/3/fp32",
        "lora-forward/nano.down/64/fp32",
        "lora-backward/tiny.attn/3/fp32",
        "lora-backward/tiny.qkv/3/fp32",
        "lora-backward/tiny.qkv/3/bf16",
        "lora-backward/tiny.down/3/fp32",
        "lora-backward/nano.qkv/64/fp32",
        "adamw/tiny/-/fp32",
        "adamw/nano/-/fp32",
        "native-call/tiny/-/fp32",
        "descriptor/tiny/-/fp32"
      })
  void contendersAgreeAndRun(String id) {
    try (Workload workload = WorkloadId.parse(id).open(false)) {
      double first = workload.disagreement();
      assertTrue(first <= workload.tolerance(), () -> "relative distance " + first);
      for (int round = 0; round < 2; round++) {
        workload.refresh();
        for (Workload.Contender contender : workload.contenders()) {
          workload.prepare();
          contender.work().run();
        }
      }
      if (!id.startsWith("adamw")) {
        double again = workload.disagreement();
        assertTrue(again <= workload.tolerance(), () -> "after a refresh: " + again);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "alignment/tiny/14/fp32",
        "lora-forward/tiny.qkv/3/fp32",
        "lora-backward/tiny.qkv/3/fp32",
        "adamw/tiny/-/fp32"
      })
  void rivalsRunAlone(String id) {
    try (Workload workload = WorkloadId.parse(id).open(true)) {
      for (Workload.Contender contender : workload.contenders()) {
        assertTrue(contender.role() != Workload.Role.SIGHTLINE, contender.name());
        contender.work().run();
      }
      assertThrows(IllegalStateException.class, () -> workload.run(Workload.Role.SIGHTLINE));
    }
  }

  @Test
  void openVlaHasItsAdapterTensors() {
    AdamWShape shape = AdamWShape.of("openvla-7b");
    assertEquals(878, shape.elements().size());
    assertEquals(110_828_288, shape.parameters());
  }

  /** M = 1024 at OpenVLA's sizes: 60 GFLOP, 4·M·(DP + P² + PZ). */
  @Test
  void alignmentCountsItsOperations() {
    AlignmentShape shape = AlignmentShape.of("openvla-7b", 1024);
    assertEquals(4, shape.batch());
    assertEquals(60_129_542_144.0, shape.flops());
  }

  @ParameterizedTest
  @CsvSource({
    "alignment/huge/64/fp32, huge",
    "alignment/nano/65/fp32, 65",
    "alignment/nano/64/fp16, fp16",
    "lora-forward/nano.gate/64/fp32, gate",
    "lora-forward/attn/64/fp32, attn",
    "lora-forward/nano.attn/-/fp32, -",
    "adamw/nano/-/bf16, bf16",
    "sgd/nano/-/fp32, sgd",
    "alignment/nano/64, alignment/nano/64"
  })
  void wrongIdsAreRefusedWithTheValueFound(String id, String found) {
    IllegalArgumentException error =
        assertThrows(IllegalArgumentException.class, () -> WorkloadId.parse(id).open(true).close());
    assertTrue(error.getMessage().contains("found"), error.getMessage());
    assertTrue(error.getMessage().contains(found), error.getMessage());
  }
}
