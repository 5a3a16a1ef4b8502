package org.sightline.vla.data.loader;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.vla.data.image.ImageKey;

/** Orders, mixtures, threads and positions of the data stream. */
class DataStreamTest extends DataStreamFixture {
  private static List<Long> order(int[] steps, int capacity, long key) {
    StepOrder order = new StepOrder(steps, capacity, key);
    List<Long> all = new ArrayList<>();
    for (long next = order.next(); next >= 0; next = order.next()) {
      all.add(next);
    }
    assertEquals(-1, order.next(), "the end must last");
    return all;
  }

  @ParameterizedTest
  @CsvSource({"0,1", "1,2", "2,3", "5,4", "17,5", "1000,6", "2000000000,7"})
  void everyEpochVisitsEveryStepOnceAndNotTooEarly(int capacity, long seed) {
    Random random = new Random(seed);
    int[] steps = IntStream.range(0, 12).map(i -> random.nextInt(7)).toArray();
    List<Long> visited = order(steps, capacity, seed);
    Set<Long> expected = new HashSet<>();
    for (int e = 0; e < steps.length; e++) {
      for (int s = 0; s < steps[e]; s++) {
        expected.add((long) e << 32 | s);
      }
    }
    assertEquals(expected.size(), visited.size());
    assertEquals(expected, new HashSet<>(visited));
    if (capacity == 0) {
      assertEquals(visited.stream().sorted().toList(), visited);
    }
    // Steps of one episode enter the buffer in order: none can overtake by more than its capacity.
    for (int i = 0; i < visited.size(); i++) {
      int step = StepOrder.step(visited.get(i));
      assertTrue(step < i + Math.max(1, capacity), "step " + step + " drawn as number " + i);
    }
    assertEquals(visited, order(steps, capacity, seed));
  }

  /**
   * With everything in the buffer each order of three steps comes up in a sixth of the epochs, be
   * they episodes or steps of one.
   */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aLargeBufferShufflesUniformly(boolean episodes) {
    int[] steps = episodes ? new int[] {1, 1, 1} : new int[] {3};
    int[] counts = new int[27];
    for (int key = 0; key < 12_000; key++) {
      List<Long> order = order(steps, 10, key);
      int code = 0;
      for (long next : order) {
        code = 3 * code + StepOrder.episode(next) + StepOrder.step(next);
      }
      counts[code]++;
    }
    int[] seen = Arrays.stream(counts).filter(count -> count > 0).toArray();
    assertEquals(6, seen.length);
    for (int count : seen) {
      assertEquals(2000, count, 5 * Math.sqrt(12_000 * 5 / 36.0)); // Five standard deviations.
    }
  }

  /** Cuts a run anywhere, in any configuration, and goes on from the position's JSON. */
  @ParameterizedTest
  @CsvSource({
    "1, 10000, 0, 0, 1",
    "4, 3, 0, 1, 1",
    "3, 1, 2, 3, 3",
    "5, 0, 1, 2, 2",
    "4, 7, 3, 0, 3"
  })
  void aResumedStreamIsTheSameStream(
      int batchSize, int shuffleBuffer, int views, int threads, int datasets) throws IOException {
    VlaDataLoader.Options options =
        VlaDataLoader.Options.training(batchSize, 99)
            .withShuffleBuffer(shuffleBuffer)
            .withViews(views)
            .withThreads(threads);
    Double[] shares =
        datasets == 1 ? new Double[0] : Arrays.copyOf(new Double[] {0.5, 2.0, 1.0}, datasets);
    int count = 24;
    List<String> whole;
    try (BatchIterator batches = mixture(options, shares).train().repeat()) {
      whole = take(batches, count);
    }
    assertTrue(new HashSet<>(whole).size() > count - 2, "batches differ");
    Random random = new Random(batchSize);
    for (int cut : new int[] {0, 1, random.nextInt(count), count - 1}) {
      Checkpointable.State state;
      try (BatchIterator batches = mixture(options, shares).train().repeat()) {
        assertEquals(whole.subList(0, cut), take(batches, cut));
        batches.hasNext(); // Reads one more batch, and threads even more.
        state = batches.state();
        assertEquals(cut, batches.position().batches());
      }
      VlaData again = mixture(options.withThreads((threads + 1) % 3), shares);
      try (BatchIterator batches = again.train().repeat()) {
        batches.restore(state);
        assertEquals(whole.subList(cut, count), take(batches, count - cut), "cut at " + cut);
        assertEquals(count, batches.position().batches());
      }
    }
  }

  @Test
  void anEvaluationBatchHoldsAtMostWhatThereIsAndATrainingBatchWhatAnArrayCan() throws IOException {
    VlaData data = mixture(VlaDataLoader.Options.evaluation(Integer.MAX_VALUE));
    try (BatchIterator batches = data.train().epoch(0)) {
      try (VlaBatch batch = batches.next()) {
        assertEquals(17, batch.inputIds().size(0));
      }
      assertFalse(batches.hasNext());
    }
    VlaDataLoader.Options huge = VlaDataLoader.Options.training(Integer.MAX_VALUE, 1);
    assertEquals(
        "batchSize: found 2147483647, expected at most 9942053 for images of 6 pixels a side",
        assertThrows(IllegalArgumentException.class, () -> mixture(huge)).getMessage());
  }

  @Test
  void evaluationEpochsResumeToo() throws IOException {
    VlaDataLoader loader =
        mixture(VlaDataLoader.Options.training(4, 5).withThreads(2), 1.0, 1.0).train();
    List<String> whole = new ArrayList<>();
    StreamPosition third = null;
    try (BatchIterator batches = loader.epoch(1)) {
      while (batches.hasNext()) {
        whole.addAll(take(batches, 1));
        third = whole.size() == 3 ? batches.position() : third;
      }
    }
    assertEquals((17 + 14) / 4, whole.size());
    try (BatchIterator batches = loader.epoch(1)) {
      batches.seek(StreamPosition.fromJson(third.toJson()));
      assertEquals(whole.subList(3, whole.size()), take(batches, whole.size() - 3));
      assertEquals(false, batches.hasNext());
    }
  }

  /** Of three views each is seen once in three epochs; then the same pictures come again. */
  @ParameterizedTest
  @ValueSource(ints = {1, 3})
  void viewsComeRoundInTurn(int views) throws IOException {
    VlaDataLoader loader =
        mixture(VlaDataLoader.Options.training(1, 3).withViews(views).withThreads(1)).train();
    List<Set<ImageKey>> epochs = new ArrayList<>();
    for (int epoch = 0; epoch < 2 * views; epoch++) {
      Set<ImageKey> keys = new HashSet<>();
      try (BatchIterator batches = loader.epoch(epoch)) {
        while (batches.hasNext()) {
          try (VlaBatch batch = batches.next()) {
            keys.addAll(batch.images());
          }
        }
      }
      assertEquals(17, keys.size());
      epochs.add(keys);
    }
    Set<ImageKey> all = new HashSet<>();
    epochs.subList(0, views).forEach(all::addAll);
    assertEquals(17 * views, all.size());
    for (int epoch = 0; epoch < views; epoch++) {
      assertEquals(epochs.get(epoch), epochs.get(epoch + views));
    }
  }

  /** The key decides the pixels: equal keys, equal pictures; another key, another picture. */
  @Test
  void keysIdentifyPictures() throws IOException {
    VlaDataLoader loader = mixture(VlaDataLoader.Options.training(1, 3).withViews(2)).train();
    java.util.Map<ImageKey, Integer> pictures = new java.util.HashMap<>();
    for (int epoch = 0; epoch < 6; epoch++) {
      try (BatchIterator batches = loader.epoch(epoch)) {
        while (batches.hasNext()) {
          try (VlaBatch batch = batches.next()) {
            float[] pixels = new float[(int) batch.pixelValues().numel()];
            batch.pixelValues().data_ptr_float().get(pixels);
            Integer before = pictures.put(batch.images().get(0), Arrays.hashCode(pixels));
            assertEquals(
                before == null ? pictures.get(batch.images().get(0)) : before,
                Arrays.hashCode(pixels));
          }
        }
      }
    }
    assertEquals(34, pictures.size());
    assertEquals(34, new HashSet<>(pictures.values()).size());
  }

  @Test
  void wrongPositionsAreExplained() throws IOException {
    VlaData data = mixture(VlaDataLoader.Options.training(2, 3), 1.0, 1.0);
    VlaData other = mixture(VlaDataLoader.Options.training(2, 4), 1.0, 1.0);
    try (BatchIterator batches = data.train().repeat();
        BatchIterator elsewhere = other.train().repeat()) {
      String message =
          assertThrows(IllegalArgumentException.class, () -> elsewhere.seek(batches.position()))
              .getMessage();
      assertEquals(
          "position: found one of stream "
              + batches.position().stream()
              + " over [toy0, toy1], expected stream "
              + elsewhere.position().stream()
              + " over [toy0, toy1]: data, split, shares, seed and shuffle buffer must be those of"
              + " the saved run",
          message);
      StreamPosition good = batches.position();
      StreamPosition beyond =
          new StreamPosition(
              good.stream(),
              0,
              List.of(new StreamPosition.Part("toy0", 1, 18), good.parts().get(1)));
      assertEquals(
          "position: found epoch 1, drawn 18 of toy0, expected both from 0, drawn to 17",
          assertThrows(IllegalArgumentException.class, () -> batches.seek(beyond)).getMessage());
      take(batches, 1);
      assertEquals(
          "batch iterator was used already, expected a new one to go to a position",
          assertThrows(IllegalStateException.class, () -> batches.seek(good)).getMessage());
    }
    for (String json : List.of("", "{}", "[]", "{\"stream\":\"a\"}", "{\"stream\":[]}")) {
      assertEquals(
          "position: found " + json + ", expected {\"stream\", \"batches\", \"parts\"}",
          assertThrows(IllegalArgumentException.class, () -> StreamPosition.fromJson(json))
              .getMessage());
    }
  }
}
