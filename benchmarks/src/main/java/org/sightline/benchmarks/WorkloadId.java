package org.sightline.benchmarks;

import org.sightline.Sightline;

/**
 * Names a workload: {@code kind/shape/rows/dtype}, as in {@code alignment/nano/512/fp32}, {@code
 * lora-forward/openvla-7b.qkv/256/bf16}, {@code adamw/openvla-7b/-/fp32}.
 *
 * @param kind alignment, alignment-call, lora-forward, lora-backward, adamw, native-call or
 *     descriptor
 * @param shape a standard shape of that kind
 * @param rows M; "-" where there is none
 * @param dtype fp32 or bf16
 */
record WorkloadId(String kind, String shape, String rows, String dtype) {
  static WorkloadId parse(String id) {
    String[] parts = id.split("/", -1);
    if (parts.length != 4) {
      throw new IllegalArgumentException(
          "workload must be kind/shape/rows/dtype, found \"" + id + "\"");
    }
    return new WorkloadId(parts[0], parts[1], parts[2], parts[3]);
  }

  /** nano, openvla-7b or tiny. */
  String family() {
    return shape.split("\\.(?=[a-z]+$)", 2)[0];
  }

  /**
   * Allocates the workload.
   *
   * @param rivalsOnly leaves Sightline out
   */
  Workload open(boolean rivalsOnly) {
    if (!rivalsOnly) {
      // Before libtorch, which every workload loads with its first tensor.
      Sightline.load();
    }
    Precision precision = Precision.of(dtype);
    return switch (kind) {
      case "alignment" -> alignment(precision, true, rivalsOnly);
      case "alignment-call" -> alignment(precision, false, rivalsOnly);
      case "lora-forward" -> lora(precision, LoraWorkload.Pass.FORWARD, rivalsOnly);
      case "lora-backward" -> lora(precision, LoraWorkload.Pass.BACKWARD, rivalsOnly);
      case "adamw" -> {
        if (precision != Precision.FP32) {
          throw new IllegalArgumentException("dtype must be fp32 for adamw, found " + dtype);
        }
        yield new AdamWWorkload(AdamWShape.of(shape), rivalsOnly);
      }
      case "native-call" -> SmallCallsWorkload.crossing(rivalsOnly);
      case "descriptor" -> SmallCallsWorkload.describing(rivalsOnly);
      default ->
          throw new IllegalArgumentException(
              "kind must be alignment, alignment-call, lora-forward, lora-backward, adamw,"
                  + " native-call or descriptor, found \""
                  + kind
                  + "\"");
    };
  }

  private Workload alignment(Precision precision, boolean graph, boolean rivalsOnly) {
    AlignmentShape sizes = AlignmentShape.of(shape, rowCount());
    return new AlignmentWorkload(sizes, precision, graph, rivalsOnly);
  }

  private Workload lora(Precision precision, LoraWorkload.Pass pass, boolean rivalsOnly) {
    return new LoraWorkload(LoraShape.of(shape, rowCount()), precision, pass, rivalsOnly);
  }

  private long rowCount() {
    try {
      return Long.parseLong(rows);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException("rows must be a number, found \"" + rows + "\"", e);
    }
  }

  @Override
  public String toString() {
    return String.join("/", kind, shape, rows, dtype);
  }
}
