package org.sightline.vla.model;

import static org.bytedeco.pytorch.global.torch.cat;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.vla.model.Norms.LayerNorm;

/**
 * A vision transformer: patch embedding, position embedding, prefix tokens (class, registers),
 * pre-norm {@link VisionBlock blocks}.
 *
 * <p>Only the first {@code blocks} blocks exist here: OpenVLA reads the second-to-last one, so the
 * last is never loaded nor run.
 */
final class VisionTransformer implements Module {
  private final VisionConfig config;
  private final ScalarType dtype;
  private final Linear patchEmbedding;
  private final Recomputed prefix; // [1, class + registers, D] or null
  private final PositionEmbedding positions;
  private final List<VisionBlock> blocks = new ArrayList<>();
  private final LayerNorm finalNorm; // or null

  /**
   * @param name prefix of the parameter names, with its trailing dot
   * @param blocks blocks to run
   * @param withFinalNorm whether the output goes through {@code norm}
   */
  VisionTransformer(
      Modules modules, String name, VisionConfig config, int blocks, boolean withFinalNorm) {
    this.config = config;
    dtype = modules.scalarType();
    long width = config.width();
    var stored = config.resampling() == PositionResampling.NONE ? dtype : ScalarType.Float;
    Tensor rows = modules.parameter(name + "pos_embed", stored, 1, config.positions(), width);
    prefix = prefix(modules, name, config, rows);
    positions = new PositionEmbedding(modules, config, rows);
    patchEmbedding = modules.patchEmbedding(name + "patch_embed.proj", config);
    for (int i = 0; i < blocks; i++) {
      this.blocks.add(new VisionBlock(modules, name + "blocks." + i + ".", config));
    }
    finalNorm =
        withFinalNorm ? LayerNorm.of(modules, name + "norm", width, config.layerNormEps()) : null;
  }

  /** The tokens before the patches. Of these only a class token may have a position. */
  private static Recomputed prefix(Modules modules, String name, VisionConfig config, Tensor rows) {
    ScalarType stored = rows.scalar_type();
    var tokens = new ArrayList<Tensor>();
    if (config.classTokens() > 0) {
      tokens.add(modules.parameter(name + "cls_token", stored, 1, 1, config.width()));
    }
    if (config.registerTokens() > 0) {
      long registers = config.registerTokens();
      tokens.add(modules.parameter(name + "reg_token", stored, 1, registers, config.width()));
    }
    if (tokens.isEmpty()) {
      return null;
    }
    boolean placed = config.classTokens() > 0 && config.classPosition();
    List<Tensor> sources = new ArrayList<>(tokens);
    sources.add(rows);
    return new Recomputed(
        modules,
        sources,
        () -> {
          var all = new ArrayList<Tensor>(tokens);
          if (placed) {
            all.set(0, all.get(0).add(rows.narrow(1, 0, 1)));
          }
          Tensor row = cat(new TensorVector(all.toArray(Tensor[]::new)), 1);
          return row.to(modules.scalarType());
        });
  }

  /**
   * Patch features [B,N,D] in the model's dtype of images [B,3,H,W]; patches row by row, prefix
   * tokens dropped.
   *
   * @throws IllegalArgumentException if H or W is not a multiple of the patch size, or another than
   *     the configuration's where positions are not resampled
   */
  @Override
  public Tensor forward(Tensor images) {
    long p = config.patchSize();
    if (images.size(2) % p != 0 || images.size(3) % p != 0) {
      throw new IllegalArgumentException(
          "images must have sides that are multiples of the patch size %d, found %d×%d"
              .formatted(p, images.size(2), images.size(3)));
    }
    Tensor x = embed(images.to(dtype));
    for (VisionBlock block : blocks) {
      x = block.apply(x);
    }
    x = x.narrow(1, config.prefixTokens(), x.size(1) - config.prefixTokens());
    return finalNorm == null ? x : finalNorm.forward(x);
  }

  private Tensor embed(Tensor images) {
    long height = images.size(2) / config.patchSize();
    long width = images.size(3) / config.patchSize();
    Tensor patches = patchEmbedding.forward(unfold(images)).add(positions.of(height, width));
    if (prefix == null) {
      return patches;
    }
    Tensor row = prefix.value();
    Tensor prefixes = row.expand(images.size(0), row.size(1), row.size(2));
    return cat(new TensorVector(prefixes, patches), 1);
  }

  /** [B,3,H,W] to [B,N,3·p·p], each patch in (channel, row, column) order as a kernel is. */
  private Tensor unfold(Tensor images) {
    long p = config.patchSize();
    long height = images.size(2) / p;
    long width = images.size(3) / p;
    return images
        .reshape(images.size(0), 3, height, p, width, p)
        .permute(0, 2, 4, 1, 3, 5)
        .reshape(images.size(0), height * width, config.patchElements());
  }
}
