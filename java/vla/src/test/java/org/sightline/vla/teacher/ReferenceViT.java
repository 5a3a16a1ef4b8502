package org.sightline.vla.teacher;

import static org.sightline.vla.model.ReferenceMath.add;
import static org.sightline.vla.model.ReferenceMath.attention;
import static org.sightline.vla.model.ReferenceMath.columns;
import static org.sightline.vla.model.ReferenceMath.layerNorm;
import static org.sightline.vla.model.ReferenceMath.linear;
import static org.sightline.vla.model.ReferenceMath.map;

import java.util.Arrays;
import java.util.Map;
import java.util.function.DoubleUnaryOperator;
import org.sightline.vla.model.ReferenceMath;

/** What the teachers have in common, in fp64, on tensors under the names of their files. */
final class ReferenceViT {
  private final Map<String, double[]> tensors;
  private final int heads;
  private final double eps;

  ReferenceViT(Map<String, double[]> tensors, int heads, double eps) {
    this.tensors = tensors;
    this.heads = heads;
    this.eps = eps;
  }

  double[] get(String name) {
    double[] tensor = tensors.get(name);
    if (tensor == null) {
      throw new AssertionError("the reference asks for " + name + " among " + tensors.keySet());
    }
    return tensor;
  }

  /** A tensor [.., D] as rows. */
  double[][] rows(String name, int width) {
    return split(get(name), width);
  }

  static double[][] split(double[] flat, int width) {
    var rows = new double[flat.length / width][];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = Arrays.copyOfRange(flat, i * width, (i + 1) * width);
    }
    return rows;
  }

  double[][] linearOf(double[][] x, String module) {
    return linear(x, get(module + ".weight"), get(module + ".bias"));
  }

  double[][] norm(double[][] x, String module) {
    return layerNorm(x, get(module + ".weight"), get(module + ".bias"), eps);
  }

  /** softmax(QKᵀ)V over all tokens, and the output projection; the modules by their names. */
  double[][] attend(double[][] x, String q, String k, String v, String out) {
    return attend(linearOf(x, q), linearOf(x, k), linearOf(x, v), out);
  }

  /** The same where one module makes Q, K and V side by side. */
  double[][] attend(double[][] x, String qkv, String out) {
    double[][] all = linearOf(x, qkv);
    int width = all[0].length / 3;
    return attend(
        columns(all, 0, width),
        columns(all, width, 2 * width),
        columns(all, 2 * width, 3 * width),
        out);
  }

  private double[][] attend(double[][] q, double[][] k, double[][] v, String out) {
    return linearOf(attention(q, k, v, heads, (query, key) -> true), out);
  }

  /** fc2(act(fc1 x)). */
  double[][] mlp(double[][] x, String fc1, String fc2, DoubleUnaryOperator activation) {
    return linearOf(map(linearOf(x, fc1), activation), fc2);
  }

  /** w3(silu(first half of w12 x) ⊙ second half). */
  double[][] gated(double[][] x, String w12, String w3) {
    double[][] both = linearOf(x, w12);
    var product = new double[both.length][both[0].length / 2];
    for (int i = 0; i < both.length; i++) {
      int half = product[i].length;
      for (int k = 0; k < half; k++) {
        product[i][k] = ReferenceMath.silu(both[i][k]) * both[i][half + k];
      }
    }
    return linearOf(product, w3);
  }

  /** x + factor ⊙ branch; a name of null is a factor of one. */
  double[][] residual(double[][] x, double[][] branch, String factor) {
    return add(x, branch, factor == null ? null : get(factor));
  }

  /** GELU's approximation 0.5x(1 + tanh(√(2/π)(x + 0.044715x³))). */
  static double tanhGelu(double x) {
    return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
  }

  /**
   * Patches of an image [3,side,side] as rows of 3·p·p numbers in (channel, row, column) order;
   * patches row by row.
   */
  static double[][] patches(double[] image, int side, int p) {
    int grid = side / p;
    var rows = new double[grid * grid][3 * p * p];
    for (int row = 0; row < grid; row++) {
      for (int column = 0; column < grid; column++) {
        for (int i = 0; i < 3 * p * p; i++) {
          int c = i / (p * p);
          int y = row * p + i / p % p;
          int x = column * p + i % p;
          rows[row * grid + column][i] = image[(c * side + y) * side + x];
        }
      }
    }
    return rows;
  }

  static double[][] join(double[][]... parts) {
    return Arrays.stream(parts).flatMap(Arrays::stream).toArray(double[][]::new);
  }
}
