package org.sightline.vla.tabletop;

import java.io.IOException;
import org.sightline.vla.data.EpisodeReader;
import org.sightline.vla.data.ImageCodec;
import org.sightline.vla.data.Lanczos3;
import org.sightline.vla.data.RgbImage;
import org.sightline.vla.data.RldsDataset;
import org.sightline.vla.data.Step;

/** One picture of many episodes: a row each, with steps evenly from first to last. */
public final class ContactSheet {
  private ContactSheet() {}

  /**
   * Draws the first episodes of a dataset.
   *
   * @param rows number of episodes, at most as many as there are
   * @param columns pictures per episode, at least 2
   * @param tile size of a picture in pixels
   */
  public static RgbImage of(RldsDataset dataset, int rows, int columns, int tile)
      throws IOException {
    if (rows < 1 || rows > dataset.size() || columns < 2 || tile < 1) {
      throw new IllegalArgumentException(
          "found "
              + rows
              + " rows, "
              + columns
              + " columns and tiles of "
              + tile
              + " pixels, expected 1 to "
              + dataset.size()
              + " rows, at least 2 columns and 1 pixel");
    }
    byte[] sheet = new byte[rows * tile * columns * tile * 3];
    try (EpisodeReader reader = dataset.reader()) {
      for (int row = 0; row < rows; row++) {
        var steps = reader.read(row).steps();
        for (int column = 0; column < columns; column++) {
          Step step = steps.get((steps.size() - 1) * column / (columns - 1));
          RgbImage image = Lanczos3.resize(ImageCodec.decode(step.image()), tile, tile);
          for (int y = 0; y < tile; y++) {
            int at = ((row * tile + y) * columns + column) * tile * 3;
            System.arraycopy(image.pixels(), y * tile * 3, sheet, at, tile * 3);
          }
        }
      }
    }
    return new RgbImage(columns * tile, rows * tile, sheet);
  }
}
