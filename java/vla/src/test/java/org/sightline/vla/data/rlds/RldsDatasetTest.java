package org.sightline.vla.data.rlds;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.formats.tfrecord.TfFeature;
import org.sightline.formats.tfrecord.TfRecordReader;
import org.sightline.formats.tfrecord.TfRecordWriter;
import org.sightline.vla.data.TestData;
import org.sightline.vla.data.image.ImageCodec;

class RldsDatasetTest {
  @TempDir Path folder;

  @Test
  void readsBackWhatWasWritten() throws IOException {
    RldsDataset dataset = TestData.write(folder, 2, 3, 1, 4, 2, 5);
    assertEquals("toy", dataset.name());
    assertEquals("train", dataset.split());
    assertEquals(5, dataset.size());
    assertTrue(Files.exists(folder.resolve("toy-train.tfrecord-00001-of-00002")));
    Random random = new Random(1);
    int[] lengths = {3, 1, 4, 2, 5};
    try (EpisodeReader reader = dataset.reader()) {
      for (int e = 0; e < 5; e++) {
        List<Step> expected = TestData.episode(e, lengths[e], random);
        Episode episode = reader.read(e);
        assertEquals(expected.size(), episode.steps().size());
        for (int i = 0; i < expected.size(); i++) {
          Step step = episode.steps().get(i);
          assertArrayEquals(expected.get(i).image(), step.image());
          assertArrayEquals(expected.get(i).action(), step.action());
          assertArrayEquals(expected.get(i).state(), step.state());
          assertEquals(expected.get(i).instruction(), step.instruction());
          assertEquals(i == 0, step.isFirst());
          assertEquals(i == lengths[e] - 1, step.isLast());
          assertEquals(i == lengths[e] - 1, step.isTerminal());
          assertEquals(expected.get(i).reward(), step.reward());
          assertEquals(1f, step.discount());
          assertEquals(
              episode.file()
                  + ": record "
                  + episode.record()
                  + " at byte offset "
                  + dataset
                      .offsets()[
                      step.origin().file().toString().endsWith("00000-of-00002") ? 0 : 1][
                      (int) episode.record()]
                  + ", step "
                  + i,
              step.origin().toString());
        }
      }
      // Back to the first shard, and out of range.
      assertEquals(3, reader.read(0).steps().size());
      assertEquals(
          "episode: found 5, expected 0 to 4",
          assertThrows(IllegalArgumentException.class, () -> reader.read(5)).getMessage());
    }
  }

  @Test
  void theSameEpisodesGiveTheSameBytes() throws IOException {
    TestData.write(folder.resolve("a"), 1, 2, 3);
    TestData.write(folder.resolve("b"), 1, 2, 3);
    for (String file :
        List.of("toy-train.tfrecord-00000-of-00001", "features.json", "dataset_info.json")) {
      assertEquals(
          -1, Files.mismatch(folder.resolve("a").resolve(file), folder.resolve("b").resolve(file)));
    }
  }

  @Test
  void anInterruptedWriteCannotBeOpened() throws IOException {
    TestData.write(folder, 1, 2);
    RldsWriter.Layout layout = new RldsWriter.Layout("toy", "", 2, 1, 16, 12, 7);
    RldsWriter writer = new RldsWriter(folder, layout);
    writer.write(TestData.episode(0, 2, new Random(1)));
    writer.close();
    assertFalse(Files.exists(folder.resolve("dataset_info.json")));
    assertOpenFails("no dataset_info.json, expected a TFDS/RLDS dataset");
  }

  @Test
  void theWriterRefusesWrongSizes() throws IOException {
    RldsWriter.Layout layout = new RldsWriter.Layout("toy", "", 1, 1, 16, 12, 5);
    try (RldsWriter writer = new RldsWriter(folder, layout)) {
      List<Step> steps = TestData.episode(0, 1, new Random(1));
      assertEquals(
          "step 0, state: found 7 floats, expected 5",
          assertThrows(IllegalArgumentException.class, () -> writer.write(steps)).getMessage());
    }
    assertThrows(
        IllegalArgumentException.class, () -> new RldsWriter.Layout("Toy", "", 1, 1, 1, 1, 1));
    assertThrows(
        IllegalArgumentException.class, () -> new RldsWriter.Layout("toy", "", 1, 2, 1, 1, 1));
  }

  @Test
  void wrongFoldersAreExplained() throws IOException {
    TestData.write(folder.resolve("1.0.0"), 1, 1);
    assertOpenFails("; did you mean " + folder.resolve("1.0.0") + "?");
    DatasetFormatException missing =
        assertThrows(
            DatasetFormatException.class, () -> RldsDataset.open(folder.resolve("nowhere")));
    assertTrue(missing.getMessage().contains("nowhere: no such folder"), missing.getMessage());
  }

  @Test
  void wrongSplitsAndShardsAreExplained() throws IOException {
    TestData.write(folder, 1, 1, 1);
    DatasetFormatException split =
        assertThrows(
            DatasetFormatException.class, () -> RldsDataset.open(folder, "val", RldsKeys.BRIDGE));
    assertTrue(
        split.getMessage().endsWith("found the splits [train], expected one named 'val'"),
        split.getMessage());
    TestData.replaceText(folder.resolve("dataset_info.json"), "\"2\"", "\"3\"");
    assertOpenFails("found 2 records, expected 3 as listed in dataset_info.json");
    for (String length : List.of("-1", "2147483648", "9223372036854775807")) {
      TestData.replaceText(folder.resolve("dataset_info.json"), "\"3\"", '"' + length + '"');
      assertOpenFails(
          "splits[0].shardLengths: found [\"%s\"], expected numbers of episodes, from 0 to 2^31 - 1"
              .formatted(length));
      TestData.replaceText(folder.resolve("dataset_info.json"), '"' + length + '"', "\"3\"");
    }
    TestData.replaceText(folder.resolve("dataset_info.json"), "\"3\"", "\"1\", \"1\"");
    assertOpenFails(
        "toy-train.tfrecord-00000-of-00002: shard is missing; dataset_info.json lists 2");
    TestData.replaceText(folder.resolve("dataset_info.json"), "shardLengths", "lengths");
    assertOpenFails("splits[0].shardLengths: found no such key, expected a list");
    Files.writeString(folder.resolve("dataset_info.json"), "{");
    assertOpenFails(
        "dataset_info.json: line 1, column 2: found unexpected end-of-input, expected close marker for Object");
  }

  @Test
  void wrongSchemasAreExplained() throws IOException {
    TestData.write(folder, 1, 1);
    DatasetFormatException camera =
        assertThrows(
            DatasetFormatException.class,
            () -> RldsDataset.open(folder, "train", RldsKeys.BRIDGE.withCamera("image_7")));
    assertTrue(
        camera.getMessage().contains("no feature 'steps/observation/image_7'; the dataset has ["),
        camera.getMessage());
    Path features = folder.resolve("features.json");
    TestData.replaceText(features, "\"action\"", "\"joints\"");
    assertOpenFails("no feature 'steps/action'");
    TestData.replaceText(features, "\"joints\"", "\"action\"");
    DatasetFormatException kind =
        assertThrows(
            DatasetFormatException.class,
            () -> RldsDataset.open(folder, "train", RldsKeys.BRIDGE.withCamera("state")));
    assertTrue(
        kind.getMessage().endsWith("found tensor of float32 [7], expected image once per step"),
        kind.getMessage());
    Files.writeString(features, "{\"featuresDict\": 3}");
    assertOpenFails("features.json: featuresDict: found 3, expected an object");
  }

  @Test
  void recordsThatDifferFromTheSchemaAreExplained() throws IOException {
    assertReadFails("steps/action", null, "found nothing, expected a value, as in features.json");
    assertReadFails(
        "steps/action",
        new TfFeature.Floats(new float[13]),
        "found a list of 13 float values, expected a list of 14 float values (2 steps of 7)");
    assertReadFails(
        "steps/action",
        new TfFeature.Ints(new long[14]),
        "found a list of 14 int64 values, expected a list of 14 float values (2 steps of 7)");
    assertReadFails(
        "steps/observation/image_0",
        new TfFeature.Floats(new float[2]),
        "found a list of 2 float values, expected a list of bytes values, one image a step");
    assertReadFails(
        "steps/language_instruction",
        new TfFeature.ByteStrings(List.of(new byte[0])),
        "found a list of 1 bytes values, expected a list of 2 bytes values, one text a step");
    assertReadFails(
        "steps/language_instruction",
        new TfFeature.ByteStrings(List.of(new byte[] {(byte) 0xff}, new byte[0])),
        "found bytes that are not UTF-8, expected UTF-8 text");
    assertReadFails(
        "steps/is_last",
        new TfFeature.Ints(new long[3]),
        "found a list of 3 int64 values, expected a list of 2 int64 values");
    assertReadFails(
        "steps/reward",
        new TfFeature.Floats(new float[1]),
        "found a list of 1 float values, expected a list of 2 float values (2 steps of 1)");
  }

  private void assertReadFails(String key, TfFeature feature, String problem) throws IOException {
    TestData.write(folder, 1, 2);
    Path shard = TestData.replaceFeature(folder, key, feature);
    try (EpisodeReader reader = RldsDataset.open(folder).reader()) {
      DatasetFormatException e =
          assertThrows(DatasetFormatException.class, () -> reader.read(0), key);
      assertEquals(
          shard + ": record 0 at byte offset 0, key '" + key + "': " + problem, e.getMessage());
    }
  }

  @Test
  void aDamagedPayloadIsLocated() throws IOException {
    TestData.write(folder, 1, 2);
    Path shard = folder.resolve("toy-train.tfrecord-00000-of-00001");
    try (TfRecordWriter writer = new TfRecordWriter(shard)) {
      writer.write(new byte[] {0x0a, 0x50});
    }
    try (EpisodeReader reader = RldsDataset.open(folder).reader()) {
      DatasetFormatException e = assertThrows(DatasetFormatException.class, () -> reader.read(0));
      assertEquals(
          shard
              + ": record 0 at byte offset 0: malformed protobuf at byte 2: length 80, only 0 bytes"
              + " left",
          e.getMessage());
    }
  }

  /**
   * Records with right checksums and wrong contents: read, or a clean error that names the file.
   */
  @Test
  void mutatedRecordsFailCleanly() throws IOException {
    TestData.write(folder, 1, 2);
    Path shard = folder.resolve("toy-train.tfrecord-00000-of-00001");
    byte[] seed;
    try (TfRecordReader reader = new TfRecordReader(shard)) {
      seed = reader.next();
    }
    Random random = new Random(99);
    int failures = 0;
    for (int i = 0; i < 1000; i++) {
      byte[] bytes = seed.clone();
      for (int k = 0; k <= i % 3; k++) {
        bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
      }
      try (TfRecordWriter writer = new TfRecordWriter(shard)) {
        writer.write(bytes);
      }
      try (EpisodeReader reader = RldsDataset.open(folder).reader()) {
        for (Step step : reader.read(0).steps()) {
          ImageCodec.decode(step.image());
        }
      } catch (DatasetFormatException e) {
        failures++;
        assertTrue(
            e.getMessage().startsWith(shard + ": record 0") || e.getMessage().startsWith("found "),
            e.getMessage());
      }
    }
    assertTrue(failures > 200, failures + " failures");
  }

  @Test
  void anInterruptedThreadReadsOnAlsoFromTheNextShard() throws IOException {
    RldsDataset dataset = TestData.write(folder, 2, 2, 3, 1, 4);
    try (EpisodeReader reader = dataset.reader()) {
      reader.read(0);
      Thread.currentThread().interrupt();
      assertEquals(3, reader.read(1).steps().size());
      assertEquals(1, reader.read(2).steps().size());
      assertTrue(Thread.interrupted(), "the flag is the caller's");
      assertEquals(4, reader.read(3).steps().size());
    }
  }

  @Test
  void optionalKeysMayBeAbsent() throws IOException {
    TestData.write(folder, 1, 2);
    Path features = folder.resolve("features.json");
    for (String key : List.of("is_first", "is_last", "is_terminal", "reward", "discount")) {
      TestData.replaceText(features, "\"" + key + "\"", "\"other_" + key + "\"");
    }
    TestData.replaceText(features, "\"state\"", "\"other_state\"");
    try (EpisodeReader reader = RldsDataset.open(folder).reader()) {
      List<Step> steps = reader.read(0).steps();
      assertTrue(steps.get(0).isFirst() && !steps.get(1).isFirst());
      assertTrue(!steps.get(0).isLast() && steps.get(1).isLast());
      assertFalse(steps.get(1).isTerminal());
      assertEquals(0, steps.get(1).state().length);
      assertEquals(0f, steps.get(1).reward());
      assertEquals(1f, steps.get(0).discount());
    }
  }

  private void assertOpenFails(String part) {
    IOException e = assertThrows(IOException.class, () -> RldsDataset.open(folder), part);
    assertTrue(
        e.getMessage().startsWith(folder.toString()) && e.getMessage().contains(part),
        e.getMessage());
  }
}
