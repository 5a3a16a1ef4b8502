package org.sightline.vla.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.sightline.Fuzz;
import org.sightline.FuzzTargets;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.formats.tfrecord.MaskedCrc32c;
import org.sightline.formats.tfrecord.TfExample;
import org.sightline.formats.tfrecord.TfRecordReader;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.RldsSummary;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.HuggingFacePromptTokenizer;

/** Spoiled datasets, pictures, statistics. */
class DataFuzzTest implements FuzzTargets {
  @Override
  public Stream<Fuzz> targets(Path folder) throws IOException {
    TestData.write(folder, 1, 2, 1);
    Path shard = folder.resolve("toy-train.tfrecord-00000-of-00001");
    byte[] record;
    try (TfRecordReader reader = new TfRecordReader(shard)) {
      record = reader.next();
    }
    RgbImage image = TestData.noise(16, 12, new Random(1));
    Path jpeg = Files.write(folder.resolve("a.jpg"), ImageCodec.encodeJpeg(image, 0.9f));
    Path png = Files.write(folder.resolve("a.png"), TestData.png(image));
    Path statistics = folder.resolve("dataset_statistics.json");
    double[] seven = {1, 2, 3, 4, 5, 6, 7};
    boolean[] mask = {true, true, true, true, true, true, false};
    StatisticsJson.write(
        statistics,
        Map.of("toy", new ActionStatistics(seven, seven, seven, seven, seven, seven, mask, 9, 2)));
    return Stream.of(
        Fuzz.of("tokenizer", tokenizer(folder), DataFuzzTest::tokenize),
        Fuzz.of("features", folder.resolve("features.json"), f -> readAll(folder)),
        Fuzz.of("dataset-info", folder.resolve("dataset_info.json"), f -> readAll(folder)),
        Fuzz.of("tfrecord", shard, DataFuzzTest::readRecords),
        Fuzz.of(
            "example",
            Files.copy(shard, folder.resolve("one")),
            record,
            DataFuzzTest::inRecord,
            DataFuzzTest::readRecords),
        Fuzz.of("episode", shard, record, DataFuzzTest::twice, f -> readAll(folder)),
        Fuzz.of("statistics", statistics, f -> StatisticsJson.readAll(f)),
        Fuzz.of("jpeg", jpeg, DataFuzzTest::decode),
        Fuzz.of("png", png, DataFuzzTest::decode));
  }

  /** The embedded one, with few words. */
  private static Path tokenizer(Path folder) throws IOException {
    Path file = folder.resolve("tokenizer.json");
    try (var embedded = HuggingFacePromptTokenizer.embedded()) {
      embedded.write(folder);
    }
    JsonObject root = JsonFields.read(file).json();
    JsonObject model = root.getAsJsonObject("model");
    JsonObject words = model.getAsJsonObject("vocab");
    words.asMap().values().removeIf(id -> id.getAsInt() >= 340);
    model
        .getAsJsonArray("merges")
        .asList()
        .removeIf(pair -> !words.has(pair.getAsString().replace(" ", "")));
    return Files.writeString(file, root.toString());
  }

  private static void tokenize(Path file) throws IOException {
    try (var tokenizer = HuggingFacePromptTokenizer.open(file)) {
      long[] ids = tokenizer.encode("In: put the </s> carrot\n \u00e9\ud83e\udd55\u0000▁▁");
      assertEquals(tokenizer.bosId(), ids[0]);
      for (long id : ids) {
        assertTrue(id >= 0 && id < tokenizer.vocabularySize(), () -> "id " + id);
      }
    }
  }

  private static void readAll(Path folder) throws IOException {
    RldsSummary.read(folder);
    RldsDataset dataset = RldsDataset.open(folder);
    try (EpisodeReader reader = dataset.reader()) {
      for (int i = 0; i < dataset.size(); i++) {
        reader.read(i);
      }
    }
  }

  private static void readRecords(Path file) throws IOException {
    try (TfRecordReader reader = new TfRecordReader(file)) {
      reader.index();
      for (byte[] record = reader.next(); record != null; record = reader.next()) {
        try {
          TfExample.parse(record);
        } catch (DatasetFormatException e) { // Its place is its reader's to say.
          assertTrue(e.getMessage().contains("byte"), e.getMessage());
        }
      }
    }
  }

  /** A file with one record. */
  private static byte[] inRecord(byte[] data) {
    ByteBuffer all = ByteBuffer.allocate(data.length + 16).order(ByteOrder.LITTLE_ENDIAN);
    all.putLong(data.length).putInt(MaskedCrc32c.of(all.array(), 0, 8));
    return all.put(data).putInt(MaskedCrc32c.of(data, 0, data.length)).array();
  }

  /** As many records as the folder's descriptors promise. */
  private static byte[] twice(byte[] data) {
    byte[] record = inRecord(data);
    return ByteBuffer.allocate(2 * record.length).put(record).put(record).array();
  }

  private static void decode(Path file) throws IOException {
    try {
      ImageCodec.decode(Files.readAllBytes(file));
    } catch (DatasetFormatException e) { // Whoever has the bytes knows whence.
      throw new DatasetFormatException(file + ": " + e.getMessage());
    }
  }

  /** Any id has the value of a bin, any number an id whose bin it is in. */
  @Test
  void actionTokens() {
    Random random = new Random(1);
    for (int i = 0; i < 10_000; i++) {
      ActionTokenizer actions =
          new ActionTokenizer(257 + random.nextInt(Integer.MAX_VALUE - 257), 256);
      long id = random.nextLong() >> random.nextInt(64);
      double value = actions.decode(id);
      double nearest = actions.decode(Math.max(actions.firstId(), Math.min(actions.lastId(), id)));
      assertEquals(nearest, value, () -> actions + ", id " + id);
      double any = Double.longBitsToDouble(random.nextLong());
      double clipped = Math.max(-1, Math.min(1, Double.isNaN(any) ? 0 : any));
      assertEquals(clipped, actions.decode(actions.encode(clipped)), 1 / 255.0 + 1e-9);
    }
  }
}
