package org.sightline.vla.model;

import java.util.Set;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.Checks;
import org.sightline.binding.Scopes;
import org.sightline.vla.data.loader.VlaBatch;

/**
 * Checks a batch before the model runs it. Values are checked where they are on the host; on a
 * device that would cost a synchronisation, and only shapes are checked.
 */
final class BatchChecks {
  private BatchChecks() {}

  static void check(VlaBatch batch, OpenVlaConfig config, Set<Integer> hiddenLayers) {
    Scopes.run(() -> checkAll(batch, config, hiddenLayers));
  }

  /** Checks what {@link OpenVla#generate} is given: an image and an unpadded prompt a row. */
  static void checkPrompt(Tensor pixelValues, Tensor inputIds, OpenVlaConfig config) {
    Scopes.run(
        () -> {
          input(pixelValues, inputIds, config);
          if (inputIds.is_cpu()) {
            int columns = Math.toIntExact(inputIds.size(1));
            ids(values(inputIds), Math.toIntExact(inputIds.size(0)), columns, config);
          }
        });
  }

  private static void input(Tensor pixelValues, Tensor inputIds, OpenVlaConfig config) {
    long rows = inputIds.dim() == 2 ? inputIds.size(0) : 0;
    long tokens = inputIds.dim() == 2 ? inputIds.size(1) : 0;
    Checks.shape("inputIds", inputIds, rows, tokens);
    long side = config.dino().imageSize();
    Checks.shape("pixelValues", pixelValues, rows, 6, side, side);
    if (rows < 1 || tokens < 2) {
      throw new IllegalArgumentException(
          "inputIds must have at least 1 row of 2 tokens, found %d of %d".formatted(rows, tokens));
    }
    integers("inputIds", inputIds);
  }

  private static void checkAll(VlaBatch batch, OpenVlaConfig config, Set<Integer> hiddenLayers) {
    input(batch.pixelValues(), batch.inputIds(), config);
    long rows = batch.inputIds().size(0);
    long tokens = batch.inputIds().size(1);
    Checks.shape("attentionMask", batch.attentionMask(), rows, tokens);
    Checks.shape("labels", batch.labels(), rows, tokens);
    integers("attentionMask", batch.attentionMask());
    integers("labels", batch.labels());
    for (int layer : hiddenLayers) {
      Checks.index("hiddenLayers", layer, config.text().layers());
    }
    if (batch.inputIds().is_cpu() && batch.attentionMask().is_cpu()) {
      tokens(batch, config, (int) rows, (int) tokens);
    }
  }

  private static void integers(String name, Tensor tensor) {
    ScalarType type = tensor.scalar_type().intern();
    if (type != ScalarType.Long) {
      throw new IllegalArgumentException(name + " must be int64, found " + type);
    }
  }

  private static void tokens(VlaBatch batch, OpenVlaConfig config, int rows, int columns) {
    ids(values(batch.inputIds()), rows, columns, config);
    long[] mask = values(batch.attentionMask());
    for (int row = 0; row < rows; row++) {
      for (int column = 0; column < columns; column++) {
        int i = row * columns + column;
        boolean first = column == 0;
        if (mask[i] != 1 && (first || mask[i] != 0) || !first && mask[i] > mask[i - 1]) {
          throw new IllegalArgumentException(
              "attentionMask row %d must be ones then zeros (right padding), found %d at column %d"
                  .formatted(row, mask[i], column));
        }
      }
    }
  }

  private static void ids(long[] ids, int rows, int columns, OpenVlaConfig config) {
    for (int row = 0; row < rows; row++) {
      if (ids[row * columns] != config.bosToken()) {
        throw new IllegalArgumentException(
            "inputIds row %d must start with BOS %d, found %d"
                .formatted(row, config.bosToken(), ids[row * columns]));
      }
      for (int column = 0; column < columns; column++) {
        long id = ids[row * columns + column];
        if (id < 0 || id >= config.text().vocabularySize()) {
          throw new IllegalArgumentException(
              "inputIds[%d,%d] must be in 0..%d, found %d"
                  .formatted(row, column, config.text().vocabularySize() - 1, id));
        }
      }
    }
  }

  /** The elements of an int64 tensor on the host. */
  static long[] values(Tensor tensor) {
    var values = new long[Math.toIntExact(tensor.numel())];
    new LongPointer(tensor.contiguous().data_ptr_long()).get(values);
    return values;
  }
}
