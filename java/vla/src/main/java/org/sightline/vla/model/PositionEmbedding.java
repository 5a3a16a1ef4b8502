package org.sightline.vla.model;

import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** The position embedding of patches, for any grid of them that its configuration can give. */
final class PositionEmbedding {
  private final PositionResampling resampling;
  private final Tensor table; // [1, D, G, G], fp32; the model's dtype where it is never resampled
  private final Tensor usual; // [1, N, D] for the grid of the configuration, in the model's dtype
  private final long usualGrid;

  /** {@code rows} are the patches' [1,G·G,D], in fp32 or the model's dtype. */
  PositionEmbedding(Modules modules, VisionConfig config, Tensor rows) {
    long grid = config.positionGrid();
    resampling = config.resampling();
    table = modules.own(rows.view(1, grid, grid, config.width()).permute(0, 3, 1, 2).contiguous());
    usualGrid = config.grid();
    usual = modules.own(at(usualGrid, usualGrid, modules.scalarType()));
  }

  /** [1,height·width,D], row by row, for images of that many patches. */
  Tensor of(long height, long width) {
    if (height == usualGrid && width == usualGrid) {
      return usual;
    }
    return at(height, width, usual.scalar_type());
  }

  private Tensor at(long height, long width, ScalarType dtype) {
    boolean stored = height == table.size(2) && width == table.size(3);
    Tensor resampled = stored ? table : resampling.resample(table, height, width);
    // Interpolated in fp32 and rounded once.
    return resampled.flatten(2, 3).transpose(1, 2).to(dtype).contiguous();
  }
}
