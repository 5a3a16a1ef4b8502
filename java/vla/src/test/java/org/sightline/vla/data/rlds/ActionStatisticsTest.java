package org.sightline.vla.data.rlds;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.vla.data.TestData;

class ActionStatisticsTest {
  private static final boolean[] MASK = {true, true, true, true, true, true, false};

  @TempDir Path folder;

  /** Results of {@code numpy.quantile(x, q)} on the same eleven numbers. */
  @Test
  void quantilesAreNumpys() {
    double[] sorted = {1, 1, 2, 3, 3, 4, 5, 5, 5, 6, 9};
    assertEquals(1.0, ActionStatistics.quantile(sorted, 0));
    assertEquals(1.0, ActionStatistics.quantile(sorted, 0.01));
    assertEquals(2.5, ActionStatistics.quantile(sorted, 0.25));
    assertEquals(4.0, ActionStatistics.quantile(sorted, 0.5));
    assertEquals(8.700000000000001, ActionStatistics.quantile(sorted, 0.99), 1e-14);
    assertEquals(9.0, ActionStatistics.quantile(sorted, 1));
    assertEquals(4.0, ActionStatistics.quantile(new double[] {4}, 0.99));
  }

  private static ActionStatistics random(int count, long seed) {
    Random random = new Random(seed);
    List<float[]> actions = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      float[] action = new float[7];
      for (int d = 0; d < 6; d++) {
        action[d] = (float) (random.nextGaussian() * 0.05);
      }
      action[3] = 0.25f; // constant
      action[6] = random.nextInt(2);
      actions.add(action);
    }
    return ActionStatistics.of(actions, MASK, 3);
  }

  @Test
  void normalisesTheMiddleRangeAndClips() {
    ActionStatistics s = random(500, 1);
    float[] low = new float[7];
    float[] high = new float[7];
    for (int d = 0; d < 7; d++) {
      low[d] = (float) s.q01()[d];
      high[d] = (float) s.q99()[d];
    }
    low[6] = 0.3f;
    assertArrayEquals(new float[] {-1, -1, -1, 0, -1, -1, 0.3f}, s.normalize(low), 1e-6f);
    assertArrayEquals(new float[] {1, 1, 1, 0, 1, 1, 1}, s.normalize(high), 2e-6f);
    float[] beyond = {9, -9, 9, 0.25f, -9, 9, 1};
    assertArrayEquals(new float[] {1, -1, 1, 0, -1, 1, 1}, s.normalize(beyond));
  }

  @Test
  void denormaliseInverts() {
    ActionStatistics s = random(500, 2);
    float[] action = {0.01f, -0.02f, 0.05f, 0.25f, 0, -0.07f, 1};
    // The 1e-8 in the denominator costs at most 1e-8 of the range.
    assertArrayEquals(action, s.denormalize(s.normalize(action)), 1e-7f);
    assertThrows(IllegalArgumentException.class, () -> s.denormalize(new float[6]));
    assertThrows(IllegalArgumentException.class, () -> s.normalize(new float[8]));
  }

  @Test
  void aGripperThatNeverMovesComesBack() {
    float[] action = {1, 2, 3, 4, 5, 6, 1};
    ActionStatistics s = ActionStatistics.of(List.of(action, action.clone()), MASK, 1);
    assertArrayEquals(new float[7], s.normalize(action));
    assertArrayEquals(action, s.denormalize(new float[7]));
  }

  /** The paper's release takes quantiles over all episodes; ours must not see the held-out ones. */
  @Test
  void onlyTrainingEpisodesCount() throws IOException {
    RldsDataset dataset = TestData.write(folder, 1, 3, 4, 5);
    ActionStatistics s = DatasetScan.of(dataset).statistics(new int[] {0, 2});
    assertEquals(8, s.transitions());
    assertEquals(2, s.trajectories());
    assertEquals(0, s.min()[0]);
    assertEquals(204, s.max()[0]);
    assertEquals((0 + 1 + 2 + 200 + 201 + 202 + 203 + 204) / 8.0, s.mean()[0], 1e-12);
    assertArrayEquals(MASK, s.mask());
    ActionStatistics other = DatasetScan.of(dataset).statistics(new int[] {1});
    assertEquals(103, other.max()[0]);
  }

  @Test
  void jsonRoundTripIsExactAndInOpenVlasForm() throws IOException {
    ActionStatistics s = random(100, 4);
    Path file = folder.resolve("dataset_statistics.json");
    StatisticsJson.write(file, Map.of("toy", s));
    ActionStatistics back = StatisticsJson.read(file, "toy");
    assertArrayEquals(s.q01(), back.q01());
    assertArrayEquals(s.std(), back.std());
    assertArrayEquals(s.max(), back.max());
    assertArrayEquals(s.mask(), back.mask());
    assertEquals(100, back.transitions());
    assertEquals(3, back.trajectories());
    var root = com.google.gson.JsonParser.parseString(Files.readString(file)).getAsJsonObject();
    var entry = root.getAsJsonObject("toy");
    assertEquals(
        List.of("action", "num_transitions", "num_trajectories"), List.copyOf(entry.keySet()));
    assertEquals(
        List.of("mean", "std", "max", "min", "q01", "q99", "mask"),
        List.copyOf(entry.getAsJsonObject("action").keySet()));
  }

  @Test
  void readsTheNormStatsOfACheckpoint() throws IOException {
    Path file = folder.resolve("config.json");
    String six = "[0,0,0]";
    Files.writeString(
        file,
        ("{'model_type':'openvla','norm_stats':{'bridge_orig':{'action':{'mean':S,'std':S,"
                + "'max':[1,1,1],'min':[-1,-1,-1],'q01':[-0.5,-0.5,0],'q99':[0.5,0.5,1]},"
                + "'proprio':{'mean':S},'num_transitions':7},'other':{}}}")
            .replace("S", six)
            .replace('\'', '"'));
    ActionStatistics s = StatisticsJson.read(file, "bridge_orig");
    assertArrayEquals(new boolean[] {true, true, false}, s.mask());
    assertArrayEquals(new float[] {1, 0, 0.7f}, s.normalize(new float[] {0.6f, 0, 0.7f}), 1e-7f);
    assertMessage(file, null, "found statistics of [bridge_orig, other], expected a choice of one");
    assertMessage(file, "x", "found statistics of [bridge_orig, other], expected 'x'");
    assertMessage(file, "other", "norm_stats.other.action: found no such key, expected an object");
  }

  @Test
  void wrongJsonIsExplained() throws IOException {
    Path file = folder.resolve("s.json");
    StatisticsJson.write(file, Map.of("toy", random(20, 5)));
    String good = Files.readString(file);
    Files.writeString(file, good.replace("\"q01\"", "\"q1\""));
    assertMessage(file, null, "toy.action.q01: found no such key, expected a list");
    Files.writeString(file, good.replaceFirst("\\[\\s*[-0-9.E]+,", "["));
    assertMessage(file, null, "expected 6 numbers, as many as mean has");
    for (String count : List.of("-1", "0.5", "1e300", "9223372036854775807")) {
      Files.writeString(file, good.replaceFirst("(transitions\": )\\d+", "$1" + count));
      assertMessage(
          file, null, "num_transitions: found " + count + ", expected an integer from 0 to 2^53");
    }
    Files.writeString(file, good.replaceFirst("true", "\"x\"").replaceFirst("\\{", "{{"));
    assertMessage(
        file,
        null,
        "line 1, column 2: found unexpected character ('{'), expected double-quote to start field name");
  }

  private static void assertMessage(Path file, String dataset, String part) {
    IOException e = assertThrows(IOException.class, () -> StatisticsJson.read(file, dataset), part);
    assertTrue(
        e.getMessage().startsWith(file + ": ") && e.getMessage().contains(part), e.getMessage());
  }

  @Test
  void invalidStatisticsAreRefused() {
    double[] zero = new double[2];
    double[] one = {1, 1};
    boolean[] mask = new boolean[2];
    assertThrows(
        IllegalArgumentException.class,
        () -> new ActionStatistics(zero, zero, zero, one, one, zero, mask, 1, 1));
    assertEquals(
        "q99[1]: found NaN, expected a finite number",
        assertThrows(
                IllegalArgumentException.class,
                () ->
                    new ActionStatistics(
                        zero, zero, zero, one, zero, new double[] {1, Double.NaN}, mask, 1, 1))
            .getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> ActionStatistics.of(List.of(), Arrays.copyOf(MASK, 7), 0));
  }
}
