package org.sightline.vla.data.loader;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.sightline.formats.tfrecord.TfExample;
import org.sightline.formats.tfrecord.TfFeature;
import org.sightline.formats.tfrecord.TfRecordReader;
import org.sightline.formats.tfrecord.TfRecordWriter;
import org.sightline.vla.data.TestData;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.rlds.CorruptRecords;
import org.sightline.vla.data.rlds.DatasetScan;
import org.sightline.vla.data.rlds.EpisodeSplit;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.RldsKeys;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.TokenizerFixture;

/** Episodes that cannot be used are left out before the others are divided, and counted once. */
class LeftOutTest extends TokenizerFixture {
  private static final int[] LENGTHS = {3, 2, 4, 1, 5, 2};

  /** What may be wrong with an episode. */
  enum Defect {
    UNREADABLE("unreadable_episodes"),
    NOT_FINITE("unreadable_episodes"),
    UNLABELLED("unlabelled_episodes"),
    EMPTY("empty_episodes"),
    UNSET("empty_episodes");

    private final String count;

    Defect(String count) {
      this.count = count;
    }

    TfFeature spoil(String key, TfFeature feature) {
      boolean steps = key.startsWith("steps/");
      return switch (this) {
        case NOT_FINITE -> {
          if (feature instanceof TfFeature.Floats floats && key.equals("steps/action")) {
            floats.values()[1] = Float.NaN;
          }
          yield feature;
        }
        case UNLABELLED ->
            key.equals("steps/language_instruction") ? texts(feature.size(), " \t") : feature;
        case EMPTY -> steps ? none(feature) : feature;
        case UNSET -> steps ? new TfFeature.Unset() : feature;
        default -> feature;
      };
    }

    private static TfFeature none(TfFeature feature) {
      return feature instanceof TfFeature.ByteStrings
          ? new TfFeature.ByteStrings(List.of())
          : feature instanceof TfFeature.Floats
              ? new TfFeature.Floats(new float[0])
              : new TfFeature.Ints(new long[0]);
    }
  }

  private static TfFeature texts(int steps, String... texts) {
    List<byte[]> values = new ArrayList<>();
    for (int i = 0; i < steps; i++) {
      values.add(texts[i % texts.length].getBytes(StandardCharsets.UTF_8));
    }
    return new TfFeature.ByteStrings(values);
  }

  private interface Change {
    TfFeature of(int episode, String key, TfFeature feature);
  }

  private RldsDataset write(Map<Integer, Defect> defects) throws IOException {
    write((e, key, f) -> defects.containsKey(e) ? defects.get(e).spoil(key, f) : f);
    Path shard = folder.resolve("toy-train.tfrecord-00000-of-00001");
    byte[] bytes = java.nio.file.Files.readAllBytes(shard);
    try (TfRecordReader reader = new TfRecordReader(shard)) {
      long[] offsets = reader.index().offsets();
      defects.forEach(
          (episode, defect) ->
              bytes[(int) offsets[episode] + 50] ^= defect == Defect.UNREADABLE ? 1 : 0);
    }
    java.nio.file.Files.write(shard, bytes);
    return RldsDataset.open(folder, "train", RldsKeys.BRIDGE, CorruptRecords.SKIP);
  }

  private RldsDataset write(Change change) throws IOException {
    TestData.write(folder, 1, LENGTHS);
    Path shard = folder.resolve("toy-train.tfrecord-00000-of-00001");
    List<byte[]> records = new ArrayList<>();
    try (TfRecordReader reader = new TfRecordReader(shard)) {
      for (byte[] record = reader.next(); record != null; record = reader.next()) {
        int episode = records.size();
        Map<String, TfFeature> example = new TreeMap<>(TfExample.parse(record).features());
        example.replaceAll((key, feature) -> change.of(episode, key, feature));
        records.add(new TfExample(example).serialize());
      }
    }
    try (TfRecordWriter writer = new TfRecordWriter(shard)) {
      for (byte[] record : records) {
        writer.write(record);
      }
    }
    return RldsDataset.open(folder);
  }

  private static VlaData data(RldsDataset dataset, double evalFraction) throws IOException {
    return VlaData.of(
        dataset,
        tokenizer,
        new ActionTokenizer(1024, 256),
        new ImageTransform(4),
        evalFraction,
        1,
        3);
  }

  private static int[] sorted(EpisodeSplit split) {
    int[] all = Arrays.copyOf(split.train(), split.train().length + split.eval().length);
    System.arraycopy(split.eval(), 0, all, split.train().length, split.eval().length);
    Arrays.sort(all);
    return all;
  }

  /** Wherever it is, and whichever side the division would have put it on. */
  @ParameterizedTest
  @EnumSource
  void oneEpisodeThatCannotBeUsedCostsItselfAlone(Defect defect) throws IOException {
    for (int bad = 0; bad < LENGTHS.length; bad++) {
      RldsDataset dataset = write(Map.of(bad, defect));
      VlaData data = data(dataset, 0.2);
      EpisodeSplit split = data.split();
      int spoilt = bad;
      assertArrayEquals(
          java.util.stream.IntStream.range(0, LENGTHS.length).filter(e -> e != spoilt).toArray(),
          sorted(split));
      assertEquals(1, split.eval().length);
      assertEquals(4, data.statistics().trajectories());
      assertEquals(
          Arrays.stream(split.train()).map(e -> LENGTHS[e]).sum(), data.statistics().transitions());
      assertEquals(4, data.train().episodes());
      Map<String, Long> counts = dataset.leftOut().counts();
      assertEquals(1, counts.get(defect.count), defect.toString());
      assertEquals(1, counts.values().stream().mapToLong(n -> n).sum());
      DatasetScan.of(dataset);
      assertEquals(counts, dataset.leftOut().counts(), "counted once");
    }
  }

  @Test
  void allKindsTogetherLeaveWhatIsGood() throws IOException {
    Random random = new Random(4);
    for (int round = 0; round < 20; round++) {
      Map<Integer, Defect> defects = new HashMap<>();
      while (defects.size() < 4) {
        Defect[] kinds = Defect.values();
        defects.put(random.nextInt(LENGTHS.length), kinds[random.nextInt(kinds.length)]);
      }
      VlaData data = data(write(defects), 0.5);
      assertEquals(1, data.split().train().length, defects.toString());
      assertEquals(1, data.split().eval().length);
      assertTrue(
          Arrays.stream(sorted(data.split())).noneMatch(defects::containsKey), defects.toString());
    }
  }

  @Test
  void tooFewAreExplained() throws IOException {
    Map<Integer, Defect> defects = new HashMap<>();
    for (int e = 0; e < LENGTHS.length - 1; e++) {
      defects.put(e, e == 2 ? Defect.EMPTY : Defect.UNLABELLED);
    }
    RldsDataset dataset = write(defects);
    assertEquals(
        "dataset toy: found 1 usable episodes, expected at least 2, one of them held out for"
            + " evaluation; left out: episodes without instruction 4, episodes without steps 1",
        assertThrows(IllegalArgumentException.class, () -> data(dataset, 0.2)).getMessage());
    assertEquals(1, data(dataset, 0).train().episodes());
  }

  /** Some sets label a part of an episode: OpenVLA would learn from the rest as well. */
  @Test
  void stepsWithoutInstructionAreLeftOutOrKept() throws IOException {
    RldsDataset dataset =
        write(
            (e, key, feature) ->
                key.equals("steps/language_instruction") && (e == 2 || e == 4)
                    ? e == 4 ? texts(5, "") : texts(4, "", "take it")
                    : feature);
    VlaData data = data(dataset, 0);
    assertEquals(10, data.train().steps());
    assertEquals(10, data.statistics().transitions());
    assertEquals(5, data.statistics().trajectories());
    assertEquals(2, dataset.leftOut().counts().get("unlabelled_steps"));
    assertEquals(
        "episodes without instruction 1, single steps without instruction 2",
        dataset.leftOut().describe());
    int drawn = 0;
    try (BatchIterator batches = data.train().epoch(0)) {
      while (batches.hasNext()) {
        try (VlaBatch batch = batches.next()) {
          drawn += batch.size();
        }
      }
    }
    assertEquals(10, drawn);
    RldsDataset kept = RldsDataset.open(folder).keepingUnlabelled();
    assertEquals(17, data(kept, 0).train().steps());
    assertEquals("", kept.leftOut().describe());
  }
}
