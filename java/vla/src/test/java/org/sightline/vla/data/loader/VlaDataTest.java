package org.sightline.vla.data.loader;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.TreeSet;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.sightline.formats.tfrecord.TfFeature;
import org.sightline.vla.data.TestData;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.DatasetScan;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.EpisodeSplit;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.Prompt;
import org.sightline.vla.data.text.TokenizerFixture;

class VlaDataTest extends TokenizerFixture {
  private static final ActionTokenizer ACTIONS = new ActionTokenizer(1024, 256);

  private static long[] longs(Tensor tensor) {
    long[] values = new long[(int) tensor.numel()];
    new LongPointer(tensor.data_ptr_long()).get(values);
    return values;
  }

  private static float[] floats(Tensor tensor) {
    float[] values = new float[(int) tensor.numel()];
    tensor.data_ptr_float().get(values);
    return values;
  }

  @Test
  void batchLayout() throws IOException {
    RldsDataset dataset = TestData.write(folder, 1, 2, 3);
    ActionStatistics statistics = DatasetScan.of(dataset).statistics(new int[] {0, 1});
    VlaBatcher batcher = new VlaBatcher(tokenizer, ACTIONS, statistics, new ImageTransform(8));
    Step first;
    Step longer;
    try (EpisodeReader reader = dataset.reader()) {
      first = reader.read(0).steps().get(0);
      Step other = reader.read(1).steps().get(2);
      longer =
          new Step(
              other.origin(),
              other.image(),
              other.action(),
              other.state(),
              "a rather longer instruction",
              false,
              true,
              true,
              1,
              1);
    }
    try (VlaBatch batch = batcher.batch(List.of(first, longer))) {
      long[] shortPrompt = Prompt.ids(tokenizer, first.instruction());
      long[] longPrompt = Prompt.ids(tokenizer, longer.instruction());
      int width = longPrompt.length + 8;
      assertTrue(shortPrompt.length < longPrompt.length);
      assertArrayEquals(new long[] {2, width}, batch.inputIds().shape());
      assertArrayEquals(new long[] {2, 6, 8, 8}, batch.pixelValues().shape());
      assertArrayEquals(new long[] {2, 7}, batch.actions().shape());
      assertEquals(torch.ScalarType.Long, batch.labels().scalar_type().intern());
      assertEquals(torch.ScalarType.Float, batch.pixelValues().scalar_type().intern());

      long[] ids = longs(batch.inputIds());
      long[] mask = longs(batch.attentionMask());
      long[] labels = longs(batch.labels());
      float[] normalized = statistics.normalize(first.action());
      for (int i = 0; i < width; i++) {
        int k = i - shortPrompt.length;
        long id = k < 0 ? shortPrompt[i] : k < 7 ? ACTIONS.encode(normalized[k]) : k == 7 ? 2 : 3;
        assertEquals(id, ids[i], "id " + i);
        assertEquals(k < 8 ? 1 : 0, mask[i], "mask " + i);
        assertEquals(k < 0 || k > 7 ? -100 : id, labels[i], "label " + i);
      }
      assertEquals(2, ids[2 * width - 1], "the longest row ends with EOS");
      assertEquals(1, mask[2 * width - 1]);
      assertEquals(1, ids[width], "every row starts with BOS");
      assertArrayEquals(normalized, Arrays.copyOf(floats(batch.actions()), 7));

      float[] image = new float[new ImageTransform(8).length()];
      new ImageTransform(8).apply(ImageCodec.decode(longer.image()), image, 0);
      float[] pixels = floats(batch.pixelValues());
      assertArrayEquals(image, Arrays.copyOfRange(pixels, image.length, 2 * image.length));
    }
  }

  @Test
  void batchesOutliveAnyOpenScope() throws IOException {
    RldsDataset dataset = TestData.write(folder, 1, 2);
    VlaData data = open(dataset, 0, 1);
    VlaBatch batch;
    try (PointerScope scope = new PointerScope();
        BatchIterator batches = data.train().repeat()) {
      assertTrue(scope == PointerScope.getInnerScope());
      batch = batches.next();
    }
    assertFalse(batch.inputIds().isNull());
    assertEquals(1, longs(batch.inputIds())[0]);
    batch.close();
    assertTrue(batch.inputIds().isNull());
  }

  @Test
  void damagedImagesAreLocated() throws IOException {
    TestData.write(folder, 1, 2);
    Path shard =
        TestData.replaceFeature(
            folder,
            "steps/observation/image_0",
            new TfFeature.ByteStrings(List.of(new byte[3], new byte[3])));
    VlaData data = open(RldsDataset.open(folder), 0, 2);
    try (BatchIterator batches = data.train().repeat()) {
      UncheckedIOException e = assertThrows(UncheckedIOException.class, batches::next);
      assertTrue(
          e.getMessage().startsWith(shard + ": record 0 at byte offset 0, step ")
              && e.getMessage()
                  .endsWith(
                      ", image: found 3 bytes starting with 00 00 00, expected a JPEG or PNG"
                          + " image"),
          e.getMessage());
    }
  }

  private static VlaData open(RldsDataset dataset, double evalFraction, int batchSize)
      throws IOException {
    return VlaData.of(
        dataset, tokenizer, ACTIONS, new ImageTransform(4), evalFraction, batchSize, 42);
  }

  /** The steps of an epoch, by the number that TestData puts into the first action value. */
  private static List<Long> order(VlaDataLoader loader, VlaData data, long epoch) {
    List<Long> order = new ArrayList<>();
    try (BatchIterator batches = loader.epoch(epoch)) {
      while (batches.hasNext()) {
        try (VlaBatch batch = batches.next()) {
          float[] actions = floats(batch.actions());
          for (int i = 0; i < batch.size(); i++) {
            float[] action = Arrays.copyOfRange(actions, 7 * i, 7 * i + 7);
            order.add(Math.round((double) data.statistics().denormalize(action)[0] * 10));
          }
        }
      }
    }
    return order;
  }

  @Test
  void epochsAreDeterministicCompleteAndDifferent() throws IOException {
    RldsDataset dataset = TestData.write(folder, 2, 4, 4, 4, 4, 4, 4);
    VlaData data = open(dataset, 0.3, 1);
    assertEquals(2, data.split().eval().length);
    List<Long> first = order(data.train(), data, 0);
    List<Long> second = order(data.train(), data, 1);
    assertEquals(16, first.size());
    assertEquals(first, order(data.train(), data, 0), "same epoch, same order");
    assertEquals(first, order(open(dataset, 0.3, 1).train(), data, 0), "same seed, same order");
    assertNotEquals(first, second);
    assertNotEquals(new ArrayList<>(new TreeSet<>(first)), first, "shuffled");
    List<Long> eval = order(data.eval(), data, 0);
    assertEquals(8, eval.size());
    VlaData other = VlaData.of(dataset, tokenizer, ACTIONS, new ImageTransform(4), 0.3, 1, 43);
    assertNotEquals(first, order(other.train(), other, 0), "another seed, another order");
  }

  @Test
  void repeatContinuesIntoTheNextEpoch() throws IOException {
    VlaData data = open(TestData.write(folder, 1, 3, 3), 0, 2);
    List<Long> expected = new ArrayList<>(order(data.train(), data, 0));
    expected.addAll(order(data.train(), data, 1));
    assertEquals(12, expected.size());
    List<Long> repeated = new ArrayList<>();
    try (BatchIterator batches = data.train().repeat()) {
      for (int i = 0; i < 6; i++) {
        try (VlaBatch batch = batches.next()) {
          float[] actions = floats(batch.actions());
          for (int r = 0; r < 2; r++) {
            float[] action = Arrays.copyOfRange(actions, 7 * r, 7 * r + 7);
            repeated.add(Math.round((double) data.statistics().denormalize(action)[0] * 10));
          }
        }
      }
      assertTrue(batches.hasNext());
    }
    assertEquals(expected, repeated);
    assertNull(data.eval());
  }

  @Test
  void lastBatchIsDroppedInTrainingAndKeptInEvaluation() throws IOException {
    RldsDataset dataset = TestData.write(folder, 1, 5, 5);
    VlaData data = open(dataset, 0.5, 3);
    try (BatchIterator train = data.train().epoch(0);
        BatchIterator eval = data.eval().epoch(0)) {
      List<Long> sizes = new ArrayList<>();
      for (BatchIterator batches : List.of(train, eval)) {
        while (batches.hasNext()) {
          try (VlaBatch batch = batches.next()) {
            sizes.add(batch.size());
          }
        }
        assertThrows(NoSuchElementException.class, batches::next);
      }
      assertEquals(List.of(3L, 3L, 2L), sizes);
    }
  }

  /** Three steps, batches of two: the second batch ends one epoch and starts the next. */
  @Test
  void endlessBatchesAreFullAcrossEpochs() throws IOException {
    VlaData data = open(TestData.write(folder, 1, 3), 0, 2);
    List<Long> expected = new ArrayList<>(order(data.train(), data, 0).subList(0, 2));
    List<Long> seen = new ArrayList<>();
    try (BatchIterator batches = data.train().repeat()) {
      for (int i = 0; i < 3; i++) {
        try (VlaBatch batch = batches.next()) {
          assertEquals(2, batch.size());
          float[] actions = floats(batch.actions());
          for (int r = 0; r < 2; r++) {
            float[] action = Arrays.copyOfRange(actions, 7 * r, 7 * r + 7);
            seen.add(Math.round((double) data.statistics().denormalize(action)[0] * 10));
          }
        }
      }
    }
    assertEquals(expected, seen.subList(0, 2));
    assertEquals(new TreeSet<>(seen), new TreeSet<>(seen.subList(0, 3)));
    assertEquals(new TreeSet<>(seen), new TreeSet<>(seen.subList(3, 6)));
    assertEquals(3, new TreeSet<>(seen).size());
  }

  @Test
  void closedIteratorsSaySo() throws IOException {
    VlaData data = open(TestData.write(folder, 1, 2), 0, 1);
    BatchIterator batches = data.train().repeat();
    batches.close();
    batches.close();
    assertFalse(batches.hasNext());
    assertEquals(
        "batch iterator is closed",
        assertThrows(IllegalStateException.class, batches::next).getMessage());
  }

  @Test
  void filesAreReleasedAtTheEndOrOnClose() throws IOException {
    assumeTrue(Files.isDirectory(Path.of("/proc/self/fd")), "needs /proc to see open files");
    VlaData data = open(TestData.write(folder, 1, 2, 2), 0.5, 1);
    BatchIterator epoch = data.eval().epoch(0);
    assertTrue(epoch.hasNext());
    assertEquals(1, openShards());
    while (epoch.hasNext()) {
      epoch.next().close();
    }
    assertEquals(0, openShards());
    BatchIterator endless = data.train().repeat();
    endless.next().close();
    assertEquals(1, openShards());
    endless.close();
    assertEquals(0, openShards());
  }

  private long openShards() throws IOException {
    try (var descriptors = Files.list(Path.of("/proc/self/fd"))) {
      return descriptors
          .filter(Files::isSymbolicLink)
          .filter(
              link -> {
                try {
                  return Files.readSymbolicLink(link).startsWith(folder.toRealPath());
                } catch (IOException e) {
                  return false; // The listing's own descriptor is gone by now.
                }
              })
          .count();
    }
  }

  @Test
  void splitsByEpisode() {
    for (int episodes : new int[] {2, 3, 25, 1000}) {
      EpisodeSplit split = EpisodeSplit.of(episodes, 0.2, 5);
      TreeSet<Integer> all = new TreeSet<>();
      for (int e : split.train()) {
        all.add(e);
      }
      for (int e : split.eval()) {
        assertTrue(all.add(e), "episode " + e + " on both sides");
      }
      assertEquals(episodes, all.size());
      assertEquals(Math.max(1, Math.round(0.2 * episodes)), split.eval().length);
      assertArrayEquals(split.eval(), EpisodeSplit.of(episodes, 0.2, 5).eval());
    }
    assertFalse(
        Arrays.equals(EpisodeSplit.of(100, 0.2, 5).eval(), EpisodeSplit.of(100, 0.2, 6).eval()));
    assertEquals(0, EpisodeSplit.of(1, 0, 0).eval().length);
    assertThrows(IllegalArgumentException.class, () -> EpisodeSplit.of(1, 0.1, 0));
    assertThrows(IllegalArgumentException.class, () -> EpisodeSplit.of(5, 1, 0));
    assertThrows(IllegalArgumentException.class, () -> EpisodeSplit.of(5, Double.NaN, 0));
  }

  @Test
  void actionIdsMustNotHideSpecialTokens() throws IOException {
    ActionStatistics statistics =
        DatasetScan.of(TestData.write(folder, 1, 2)).statistics(new int[] {0});
    assertEquals(
        "actions: found ids 1 to 256, expected none of the tokenizer's special ids, but 1 is one",
        assertThrows(
                IllegalArgumentException.class,
                () ->
                    new VlaBatcher(
                        tokenizer,
                        new ActionTokenizer(257, 256),
                        statistics,
                        new ImageTransform(4)))
            .getMessage());
  }
}
