package org.sightline.vla.data.rlds;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.formats.FormatException;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.formats.tfrecord.TfExample;
import org.sightline.formats.tfrecord.TfFeature;
import org.sightline.formats.tfrecord.TfRecordReader;
import org.sightline.formats.tfrecord.TfRecordWriter;
import org.sightline.vla.data.TestData;

/** Datasets of the Open X collection that differ from BridgeData's layout. */
class ForeignDatasetsTest {
  @TempDir Path folder;

  private List<Step> steps(int episode) throws IOException {
    try (EpisodeReader reader = RldsDataset.open(folder).reader()) {
      return reader.read(episode).steps();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"array_record", "riegeli"})
  void anotherFormatOfShardsIsNamedWithTheWayOut(String format) throws IOException {
    TestData.write(folder, 1, 2);
    Path info = folder.resolve("dataset_info.json");
    TestData.replaceText(info, "\"tfrecord\"", "\"" + format + "\"");
    assertEquals(
        info
            + (": fileFormat: found \"%s\", expected \"tfrecord\"; to convert it: tfds"
                    + " convert_format --dataset_dir=%s --out_file_format=tfrecord --out_dir=NEW_DIR")
                .formatted(format, folder),
        assertThrows(FormatException.class, () -> RldsDataset.open(folder)).getMessage());
    Files.move(
        folder.resolve("toy-train.tfrecord-00000-of-00001"),
        folder.resolve("toy-train." + format + "-00000-of-00001"));
    RldsSummary summary = RldsSummary.read(folder);
    assertEquals(format, summary.format());
    assertEquals(List.of(), summary.splits().get(0).missing());
  }

  @Test
  void shardsAreTfRecordsWhereNothingIsSaid() throws IOException {
    TestData.write(folder, 1, 2);
    TestData.replaceText(folder.resolve("dataset_info.json"), "\"fileFormat\"", "\"other\"");
    assertEquals(2, steps(0).size());
  }

  /** The bytes of a record are the same, whichever of TFDS's types wrote them. */
  @ParameterizedTest
  @CsvSource({"string, []", "object, []", "string, [\"1\"]"})
  void stringTensorsHoldTextsAndEncodedImages(String dtype, String shape) throws IOException {
    TestData.write(folder, 1, 2);
    List<Step> expected = steps(0);
    Path features = folder.resolve("features.json");
    String tensor =
        "\"tensor\": {\"shape\": {\"dimensions\": %s}, \"dtype\": \"%s\"}".formatted(shape, dtype);
    TestData.replaceText(features, "\"text\": {}", tensor);
    String text = Files.readString(features);
    int start = text.indexOf("\"image\": {");
    int end = text.indexOf("}", text.indexOf("}", start) + 1) + 1;
    Files.writeString(features, text.substring(0, start) + tensor + text.substring(end));
    List<Step> found = steps(0);
    assertEquals(expected.get(1).instruction(), found.get(1).instruction());
    assertArrayEquals(expected.get(1).image(), found.get(1).image());
  }

  @ParameterizedTest
  @CsvSource({"string, [\"2\"]", "float32, []"})
  void otherTensorsAreNoTexts(String dtype, String shape) throws IOException {
    TestData.write(folder, 1, 2);
    TestData.replaceText(
        folder.resolve("features.json"),
        "\"text\": {}",
        "\"tensor\": {\"shape\": {\"dimensions\": %s}, \"dtype\": \"%s\"}".formatted(shape, dtype));
    String message =
        assertThrows(DatasetFormatException.class, () -> RldsDataset.open(folder)).getMessage();
    assertTrue(message.endsWith(", expected text once per step"), message);
  }

  /** 7 · 9 · 954437177 is 7 in 32 bits. */
  @Test
  void aShapeThatWrapsAroundIsNotTheSmallOne() throws IOException {
    TestData.write(folder, 1, 2);
    Path features = folder.resolve("features.json");
    String text = Files.readString(features);
    int state = text.indexOf("\"7\"", text.indexOf("\"state\""));
    Files.writeString(
        features,
        text.substring(0, state) + "\"7\", \"9\", \"954437177\"" + text.substring(state + 3));
    assertThrows(DatasetFormatException.class, () -> steps(0));
  }

  @Test
  void wholeRewardsAreNumbersToo() throws IOException {
    TestData.write(folder, 1, 2);
    TestData.replaceFeature(folder, "steps/reward", new TfFeature.Ints(new long[] {-3, 1}));
    assertEquals(-3f, steps(0).get(0).reward());
  }

  /** LIBERO's sets: two cameras, a state of eight, doubles in the schema, a shard of nothing. */
  @Test
  void liberosLayoutIsRead() throws IOException {
    TestData.write(folder, 2, 3, 2, 4);
    Path features = folder.resolve("features.json");
    TestData.replaceText(features, "\"float32\"", "\"float64\"");
    TestData.replaceText(features, "\"image_0\"", "\"image\"");
    String text = Files.readString(features);
    int image = text.indexOf("{", text.indexOf("\"image\""));
    String schema = text.substring(image, text.indexOf("\"state\"", image)).strip();
    Files.writeString(
        features, text.replace("\"state\"", "\"wrist_image\": " + schema + " \"state\""));
    TestData.replaceText(
        folder.resolve("dataset_info.json"),
        "\"shardLengths\": [",
        "\"shardLengths\": [\"2\", \"0\", \"1\"], \"former\": [");
    for (int from = 0; from < 2; from++) {
      Path old = folder.resolve("toy-train.tfrecord-0000%d-of-00002".formatted(from));
      List<byte[]> records = new ArrayList<>();
      try (TfRecordReader reader = new TfRecordReader(old)) {
        for (byte[] record = reader.next(); record != null; record = reader.next()) {
          Map<String, TfFeature> example = new TreeMap<>(TfExample.parse(record).features());
          example.put("steps/observation/image", example.remove("steps/observation/image_0"));
          example.put("steps/observation/wrist_image", example.get("steps/observation/image"));
          records.add(new TfExample(example).serialize());
        }
      }
      Path renamed = folder.resolve("toy-train.tfrecord-0000%d-of-00003".formatted(2 * from));
      try (TfRecordWriter writer = new TfRecordWriter(renamed)) {
        for (byte[] record : records) {
          writer.write(record);
        }
      }
      Files.delete(old);
    }
    Files.createFile(folder.resolve("toy-train.tfrecord-00001-of-00003"));
    RldsDataset dataset = RldsDataset.open(folder, "train", RldsKeys.BRIDGE.withCamera("image"));
    assertEquals(3, dataset.size());
    assertArrayEquals(new int[] {3, 2, 4}, DatasetScan.of(dataset).steps(new int[] {0, 1, 2}));
  }
}
