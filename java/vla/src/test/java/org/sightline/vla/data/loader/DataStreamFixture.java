package org.sightline.vla.data.loader;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.sightline.vla.data.TestData;
import org.sightline.vla.data.image.Augmentation;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.TokenizerFixture;

/** What the tests of data streams share: toy datasets, read as a run reads them. */
abstract class DataStreamFixture extends TokenizerFixture {

  VlaData mixture(VlaDataLoader.Options options, Double... shares) throws IOException {
    List<RldsDataset> datasets = new ArrayList<>();
    int[][] lengths = {{3, 4, 2, 5, 3}, {6, 1, 7}, {2, 2}};
    int[] shards = {2, 1, 2};
    for (int i = 0; i < Math.max(1, shares.length); i++) {
      datasets.add(TestData.write(folder.resolve("d" + i), "toy" + i, shards[i], lengths[i]));
    }
    return VlaData.of(
        datasets,
        List.of(shares),
        tokenizer,
        new ActionTokenizer(1024, 256),
        new ImageTransform(6, Augmentation.PAPER),
        0,
        options);
  }

  /** A batch as text: which pictures, which tokens, and every pixel. */
  static String describe(VlaBatch batch) {
    float[] pixels = new float[(int) batch.pixelValues().numel()];
    batch.pixelValues().data_ptr_float().get(pixels);
    long[] ids = new long[(int) batch.inputIds().numel()];
    batch.inputIds().data_ptr_long().get(ids);
    return batch.images() + " " + Arrays.toString(ids) + " " + Arrays.hashCode(pixels);
  }

  static List<String> take(BatchIterator batches, int count) {
    List<String> taken = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      try (VlaBatch batch = batches.next()) {
        taken.add(describe(batch));
      }
    }
    return taken;
  }
}
