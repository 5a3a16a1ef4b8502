package org.sightline.vla.model;

import java.util.Arrays;
import java.util.Set;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.vla.data.VlaBatch;

/**
 * Checks a batch before the model runs it. Values are checked where they are on the host; on a
 * device that would cost a synchronisation, and only shapes are checked.
 */
final class BatchChecks {
  private BatchChecks() {}

  static void check(VlaBatch batch, OpenVlaConfig config, Set<Integer> hiddenLayers) {
    Scopes.run(() -> checkAll(batch, config, hiddenLayers));
  }

  private static void checkAll(VlaBatch batch, OpenVlaConfig config, Set<Integer> hiddenLayers) {
    long rows = batch.inputIds().size(0);
    long side = config.dino().imageSize();
    shape("pixelValues", batch.pixelValues(), rows, 6, side, side);
    long tokens = batch.inputIds().dim() == 2 ? batch.inputIds().size(1) : 0;
    shape("inputIds", batch.inputIds(), rows, tokens);
    shape("attentionMask", batch.attentionMask(), rows, tokens);
    shape("labels", batch.labels(), rows, tokens);
    if (rows < 1 || tokens < 2) {
      throw new IllegalArgumentException(
          "inputIds must have at least 1 row of 2 tokens, found %d of %d".formatted(rows, tokens));
    }
    integers("inputIds", batch.inputIds());
    integers("attentionMask", batch.attentionMask());
    integers("labels", batch.labels());
    for (int layer : hiddenLayers) {
      if (layer < 0 || layer > config.text().layers()) {
        throw new IllegalArgumentException(
            "hiddenLayers must be in 0..%d, found %d".formatted(config.text().layers(), layer));
      }
    }
    if (batch.inputIds().is_cpu() && batch.attentionMask().is_cpu()) {
      tokens(batch, config, (int) rows, (int) tokens);
    }
  }

  private static void shape(String name, Tensor tensor, long... expected) {
    long[] found = tensor.shape();
    if (!Arrays.equals(found, expected)) {
      throw new IllegalArgumentException(
          "%s must have shape %s, found %s"
              .formatted(name, Arrays.toString(expected), Arrays.toString(found)));
    }
  }

  private static void integers(String name, Tensor tensor) {
    ScalarType type = tensor.scalar_type().intern();
    if (type != ScalarType.Long) {
      throw new IllegalArgumentException(name + " must be int64, found " + type);
    }
  }

  private static void tokens(VlaBatch batch, OpenVlaConfig config, int rows, int columns) {
    long[] ids = values(batch.inputIds());
    long[] mask = values(batch.attentionMask());
    for (int row = 0; row < rows; row++) {
      if (ids[row * columns] != config.bosToken()) {
        throw new IllegalArgumentException(
            "inputIds row %d must start with BOS %d, found %d"
                .formatted(row, config.bosToken(), ids[row * columns]));
      }
      for (int column = 0; column < columns; column++) {
        int i = row * columns + column;
        if (ids[i] < 0 || ids[i] >= config.text().vocabularySize()) {
          throw new IllegalArgumentException(
              "inputIds[%d,%d] must be in 0..%d, found %d"
                  .formatted(row, column, config.text().vocabularySize() - 1, ids[i]));
        }
        boolean first = column == 0;
        if (mask[i] != 1 && (first || mask[i] != 0) || !first && mask[i] > mask[i - 1]) {
          throw new IllegalArgumentException(
              "attentionMask row %d must be ones then zeros (right padding), found %d at column %d"
                  .formatted(row, mask[i], column));
        }
      }
    }
  }

  private static long[] values(Tensor tensor) {
    var values = new long[Math.toIntExact(tensor.numel())];
    new LongPointer(tensor.contiguous().data_ptr_long()).get(values);
    return values;
  }
}
