package org.sightline.benchmarks;

/**
 * Sizes of an alignment task.
 *
 * @param batch B
 * @param tokens N, image tokens of a sample; M = B·N
 * @param hiddenSize D
 * @param projectorSize P
 * @param teacherSize Z
 */
record AlignmentShape(
    long batch, long tokens, long hiddenSize, long projectorSize, long teacherSize) {

  /**
   * A standard shape.
   *
   * @param family nano, openvla-7b (16 × 256 tokens are its training batch) or tiny
   * @param rows M, a multiple of the family's tokens per sample if larger
   */
  static AlignmentShape of(String family, long rows) {
    return switch (family) {
      case "nano" -> split(rows, 64, 192, 256, 128);
      case "openvla-7b" -> split(rows, 256, 4096, 2048, 1024);
      // For tests: sizes no vector width divides.
      case "tiny" -> split(rows, 7, 13, 31, 5);
      default ->
          throw new IllegalArgumentException(
              "shape must be nano, openvla-7b or tiny, found \"" + family + "\"");
    };
  }

  private static AlignmentShape split(long rows, long tokens, long d, long p, long z) {
    long perSample = Math.min(rows, tokens);
    if (rows < 1 || rows % perSample != 0) {
      throw new IllegalArgumentException(
          "rows must be a positive multiple of " + tokens + ", found " + rows);
    }
    return new AlignmentShape(rows / perSample, perSample, d, p, z);
  }

  long rows() {
    return batch * tokens;
  }

  /** Six products: three forward, three for the gradient of the hidden states. */
  double flops() {
    return 4.0
        * rows()
        * (hiddenSize * projectorSize
            + projectorSize * projectorSize
            + projectorSize * teacherSize);
  }
}
