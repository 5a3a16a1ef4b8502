package org.sightline.benchmarks;

import java.util.List;

/**
 * Sizes of a LoRA task.
 *
 * @param rows M
 * @param in K
 * @param out N of each linear on the shared input
 * @param rank r
 */
record LoraShape(long rows, long in, List<Long> out, int rank) {
  /** The rank of OpenVLA's recipe. */
  private static final int RANK = 32;

  /**
   * A layer of a standard model.
   *
   * @param layer {@code family.kind}; family nano, openvla-7b or tiny; kind attn (q, k, v or o
   *     alone), qkv (three on one input), up (gate or up alone) or down
   */
  static LoraShape of(String layer, long rows) {
    if (rows < 1) {
      throw new IllegalArgumentException("rows must be at least 1, found " + rows);
    }
    int dot = layer.lastIndexOf('.');
    String family = layer.substring(0, Math.max(dot, 0));
    String kind = layer.substring(dot + 1);
    return switch (family) {
      case "nano" -> of(kind, rows, 192, 512, RANK);
      case "openvla-7b" -> of(kind, rows, 4096, 11008, RANK);
      case "tiny" -> of(kind, rows, 13, 31, 3);
      default ->
          throw new IllegalArgumentException(
              "layer must be nano.KIND, openvla-7b.KIND or tiny.KIND, found \"" + layer + "\"");
    };
  }

  private static LoraShape of(String kind, long rows, long hidden, long inner, int rank) {
    return switch (kind) {
      case "attn" -> new LoraShape(rows, hidden, List.of(hidden), rank);
      case "qkv" -> new LoraShape(rows, hidden, List.of(hidden, hidden, hidden), rank);
      case "up" -> new LoraShape(rows, hidden, List.of(inner), rank);
      case "down" -> new LoraShape(rows, inner, List.of(hidden), rank);
      default ->
          throw new IllegalArgumentException(
              "kind must be attn, qkv, up or down, found \"" + kind + "\"");
    };
  }

  /** The base product and the two of the adapter. */
  double forwardFlops() {
    return out.stream().mapToDouble(n -> 2.0 * rows * (in * n + rank * (in + n))).sum();
  }

  /** dY W, then four products of the adapter: dY B, its product with A, dA and dB. */
  double backwardFlops() {
    return out.stream().mapToDouble(n -> 2.0 * rows * (in * n + 2.0 * rank * (in + n))).sum();
  }
}
