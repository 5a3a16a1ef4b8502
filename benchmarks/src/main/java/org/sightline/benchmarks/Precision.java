package org.sightline.benchmarks;

import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.DType;

/** Element type of a workload's inputs, by the name used in workload ids. */
enum Precision {
  // Tolerances of ours against libtorch's composition, both of which round: fp32 within 1e-5 of
  // fp64 each, with room for libtorch's longest sums; bf16 rounds (2^-9) after each of its ten ops.
  FP32("fp32", ScalarType.Float, DType.FLOAT32, 1e-4),
  BF16("bf16", ScalarType.BFloat16, DType.BFLOAT16, 3e-2);

  final String label;
  final ScalarType scalarType;
  final DType dtype;
  final double tolerance;

  Precision(String label, ScalarType scalarType, DType dtype, double tolerance) {
    this.label = label;
    this.scalarType = scalarType;
    this.dtype = dtype;
    this.tolerance = tolerance;
  }

  static Precision of(String label) {
    for (Precision precision : values()) {
      if (precision.label.equals(label)) {
        return precision;
      }
    }
    throw new IllegalArgumentException("dtype must be fp32 or bf16, found \"" + label + "\"");
  }
}
