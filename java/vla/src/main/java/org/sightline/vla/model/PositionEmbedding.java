package org.sightline.vla.model;

import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The position embedding of patches, for any grid of them that its configuration can give. */
final class PositionEmbedding {
  private final PositionResampling resampling;
  private final Recomputed table; // [1, D, G, G], fp32; the model's dtype where never resampled
  private final Recomputed usual; // [1, N, D] for the grid of the configuration, in that dtype
  private final long usualGrid;
  private final ScalarType dtype;

  /**
   * @param rows [1,G·G,D] of the patches, in fp32 or the model's dtype; before them that of the
   *     class token where it has one
   */
  PositionEmbedding(Modules modules, VisionConfig config, Tensor rows) {
    long grid = config.positionGrid();
    long first = config.classPosition() ? 1 : 0;
    resampling = config.resampling();
    dtype = modules.scalarType();
    usualGrid = config.grid();
    table =
        new Recomputed(
            modules,
            List.of(rows),
            () ->
                rows.narrow(1, first, rows.size(1) - first)
                    .view(1, grid, grid, config.width())
                    .permute(0, 3, 1, 2)
                    .contiguous());
    usual = new Recomputed(modules, List.of(rows), () -> at(usualGrid, usualGrid));
  }

  /** [1,height·width,D], row by row, for images of that many patches. */
  Tensor of(long height, long width) {
    return height == usualGrid && width == usualGrid ? usual.value() : at(height, width);
  }

  private Tensor at(long height, long width) {
    Tensor grid = table.value();
    boolean stored = height == grid.size(2) && width == grid.size(3);
    Tensor resampled = stored ? grid : resampling.resample(grid, height, width);
    // Interpolated in fp32 and rounded once.
    return resampled.flatten(2, 3).transpose(1, 2).to(dtype).contiguous();
  }
}
