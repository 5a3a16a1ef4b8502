package org.sightline;

import org.bytedeco.pytorch.global.torch.ScalarType;

/** The element types the kernels compute in. */
public enum DType {
  /** IEEE single precision. */
  FLOAT32(ScalarType.Float),
  /** Brain float: 8 bits of exponent, 7 of mantissa; sums are kept in single precision. */
  BFLOAT16(ScalarType.BFloat16);

  private final ScalarType scalarType;

  DType(ScalarType scalarType) {
    this.scalarType = scalarType;
  }

  ScalarType scalarType() {
    return scalarType;
  }
}
