package org.sightline.vla.data.loader;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.sightline.vla.data.TestData;
import org.sightline.vla.data.image.ImageKey;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.ActionTokenizer;

/** Streams of several datasets: shares, epochs, statistics. */
class MixtureStreamTest extends DataStreamFixture {
  /**
   * Over many draws each dataset gets its share, and passes whole epochs whatever the others do.
   */
  @Test
  void sharesAreKeptAndEpochsAreComplete() throws IOException {
    VlaData data = mixture(VlaDataLoader.Options.training(1, 3), 1.0, 3.0, 4.0);
    List<List<ImageKey>> drawn = List.of(new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
    List<Long> before = List.of(0L, 0L, 0L);
    int count = 4000;
    try (BatchIterator batches = data.train().repeat()) {
      for (int i = 0; i < count; i++) {
        try (VlaBatch batch = batches.next()) {
          List<StreamPosition.Part> parts = batches.position().parts();
          long[] sizes = {17, 14, 4};
          List<Long> now = new ArrayList<>();
          for (int d = 0; d < 3; d++) {
            now.add(parts.get(d).epoch() * sizes[d] + parts.get(d).drawn());
            if (now.get(d) > before.get(d)) {
              drawn.get(d).add(batch.images().get(0));
            }
          }
          before = now;
        }
      }
    }
    for (int d = 0; d < 3; d++) {
      double share = new double[] {0.125, 0.375, 0.5}[d];
      int size = new int[] {17, 14, 4}[d];
      double deviation = Math.sqrt(count * share * (1 - share));
      assertEquals(count * share, drawn.get(d).size(), 5 * deviation);
      // views = 0: a picture's key is new in each epoch, so whole epochs hold no key twice.
      assertEquals(drawn.get(d).size(), new HashSet<>(drawn.get(d)).size());
      assertTrue(drawn.get(d).size() > 10 * size);
    }
  }

  @Test
  void withoutSharesEpochsPassAtTheSamePace() throws IOException {
    List<RldsDataset> datasets =
        List.of(
            TestData.write(folder.resolve("a"), "a", 1, 20),
            TestData.write(folder.resolve("b"), "b", 1, 5));
    VlaData data =
        VlaData.of(
            datasets,
            List.of(),
            tokenizer,
            new ActionTokenizer(1024, 256),
            new ImageTransform(4),
            0,
            VlaDataLoader.Options.training(1, 0));
    try (BatchIterator batches = data.train().repeat()) {
      take(batches, 2500);
      List<StreamPosition.Part> parts = batches.position().parts();
      assertEquals(100, parts.get(0).epoch(), 5);
      assertEquals(100, parts.get(1).epoch(), 20);
    }
    assertEquals(Set.of("a", "b"), data.statisticsByName().keySet());
    assertNotEquals(
        data.parts().get(0).statistics().max()[0], data.parts().get(1).statistics().max()[0]);
  }

  /** Each row of a mixed batch is normalised by its own dataset's statistics. */
  @Test
  void statisticsAreEachDatasetsOwn() throws IOException {
    VlaData data = mixture(VlaDataLoader.Options.training(1, 3), 1.0, 1.0);
    Set<Float> expected = new HashSet<>();
    for (VlaData.Part part : data.parts()) {
      try (EpisodeReader reader = part.dataset().reader()) {
        for (int e = 0; e < part.dataset().size(); e++) {
          for (Step step : reader.read(e).steps()) {
            expected.add(part.statistics().normalize(step.action())[1]);
          }
        }
      }
    }
    Set<Float> found = new HashSet<>();
    try (BatchIterator batches = data.train().repeat()) {
      for (int i = 0; i < 300; i++) {
        try (VlaBatch batch = batches.next()) {
          found.add(batch.actions().data_ptr_float().get(1));
        }
      }
    }
    assertEquals(expected, found);
  }

  @Test
  void wrongMixturesAreExplained() throws IOException {
    RldsDataset one = TestData.write(folder.resolve("a"), "a", 1, 2);
    RldsDataset two = TestData.write(folder.resolve("b"), "b", 1, 2);
    assertMixtureFails(List.of(), List.of(), "datasets: found none, expected at least 1");
    assertMixtureFails(
        List.of(one, one), List.of(), "datasets: found the names [a, a], expected distinct ones");
    assertMixtureFails(
        List.of(one, two),
        List.of(1.0),
        "shares: found 1 for 2 datasets, expected one each or none");
    assertMixtureFails(
        List.of(one, two),
        List.of(1.0, -1.0),
        "share of b: found -1.0, expected a positive number");
  }

  private static void assertMixtureFails(
      List<RldsDataset> datasets, List<Double> shares, String message) {
    assertEquals(
        message,
        assertThrows(
                IllegalArgumentException.class,
                () ->
                    VlaData.of(
                        datasets,
                        shares,
                        tokenizer,
                        new ActionTokenizer(1024, 256),
                        new ImageTransform(4),
                        0,
                        VlaDataLoader.Options.training(1, 0)))
            .getMessage());
  }
}
