package org.sightline.vla.model;

import static org.sightline.vla.model.ReferenceMath.add;
import static org.sightline.vla.model.ReferenceMath.attention;
import static org.sightline.vla.model.ReferenceMath.columns;
import static org.sightline.vla.model.ReferenceMath.layerNorm;
import static org.sightline.vla.model.ReferenceMath.linear;
import static org.sightline.vla.model.ReferenceMath.map;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Map;

/** A vision transformer in fp64, written from the facts of the checkpoint, not from the code. */
public final class ReferenceVision {
  private ReferenceVision() {}

  /** Patch features of one image [3,H,W] (flat) after {@code blocks} blocks. */
  public static double[][] forward(
      Map<String, double[]> p,
      String name,
      VisionConfig config,
      int blocks,
      boolean finalNorm,
      double[] image) {
    double[][] x = embed(p, name, config, image);
    for (int i = 0; i < blocks; i++) {
      String block = name + "blocks." + i + ".";
      double eps = config.layerNormEps();
      double[][] h = layerNorm(x, p.get(block + "norm1.weight"), p.get(block + "norm1.bias"), eps);
      double[][] qkv = linear(h, p.get(block + "attn.qkv.weight"), p.get(block + "attn.qkv.bias"));
      int d = config.width();
      double[][] joined =
          attention(
              columns(qkv, 0, d),
              columns(qkv, d, 2 * d),
              columns(qkv, 2 * d, 3 * d),
              config.heads(),
              (query, key) -> true);
      double[][] out =
          linear(joined, p.get(block + "attn.proj.weight"), p.get(block + "attn.proj.bias"));
      x = add(x, out, p.get(block + "ls1.scale_factor"));
      h = layerNorm(x, p.get(block + "norm2.weight"), p.get(block + "norm2.bias"), eps);
      h = linear(h, p.get(block + "mlp.fc1.weight"), p.get(block + "mlp.fc1.bias"));
      h = map(h, ReferenceMath::gelu);
      h = linear(h, p.get(block + "mlp.fc2.weight"), p.get(block + "mlp.fc2.bias"));
      x = add(x, h, p.get(block + "ls2.scale_factor"));
    }
    double[][] patches = Arrays.copyOfRange(x, config.prefixTokens(), x.length);
    return finalNorm
        ? layerNorm(
            patches, p.get(name + "norm.weight"), p.get(name + "norm.bias"), config.layerNormEps())
        : patches;
  }

  /** Convolution with stride and kernel of a patch, positions, prefix tokens. */
  private static double[][] embed(
      Map<String, double[]> p, String name, VisionConfig config, double[] image) {
    int d = config.width();
    int side = config.imageSize();
    int patch = config.patchSize();
    double[] kernel = p.get(name + "patch_embed.proj.weight");
    double[] bias = p.get(name + "patch_embed.proj.bias");
    double[] positions = p.get(name + "pos_embed");
    var tokens = new ArrayList<double[]>();
    if (config.classTokens() == 1) {
      double[] token = p.get(name + "cls_token").clone();
      for (int o = 0; config.classPosition() && o < d; o++) {
        token[o] += positions[o];
      }
      tokens.add(token);
    }
    for (int r = 0; r < config.registerTokens(); r++) {
      tokens.add(Arrays.copyOfRange(p.get(name + "reg_token"), r * d, (r + 1) * d));
    }
    int firstPosition = config.classPosition() ? 1 : 0;
    for (int row = 0; row < config.grid(); row++) {
      for (int column = 0; column < config.grid(); column++) {
        var token = new double[d];
        int position = firstPosition + row * config.grid() + column;
        for (int o = 0; o < d; o++) {
          double sum = bias[o] + positions[position * d + o];
          for (int c = 0; c < 3; c++) {
            for (int y = 0; y < patch; y++) {
              for (int x = 0; x < patch; x++) {
                sum +=
                    kernel[((o * 3 + c) * patch + y) * patch + x]
                        * image[(c * side + row * patch + y) * side + column * patch + x];
              }
            }
          }
          token[o] = sum;
        }
        tokens.add(token);
      }
    }
    return tokens.toArray(double[][]::new);
  }
}
