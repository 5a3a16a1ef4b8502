package org.sightline.vla.data.rlds;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.formats.tfrecord.CorruptRecordException;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.formats.tfrecord.TfExample;
import org.sightline.formats.tfrecord.TfFeature;
import org.sightline.formats.tfrecord.TfRecordReader;
import org.sightline.formats.tfrecord.TfRecordWriter;
import org.sightline.vla.data.TestData;
import org.sightline.vla.data.image.ImageKey;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.loader.BatchIterator;
import org.sightline.vla.data.loader.StreamPosition;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.data.loader.VlaData;
import org.sightline.vla.data.loader.VlaDataLoader;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.TokenizerFixture;

/** Damaged shards: a named error with file and offset, or skipped and counted. */
class CorruptDataTest extends TokenizerFixture {
  private static final int[] LENGTHS = {3, 2, 4, 1, 5};

  private Path shard;
  private byte[] good;
  private long[] offsets;

  @BeforeEach
  void write() throws IOException {
    TestData.write(folder, 1, LENGTHS);
    shard = folder.resolve("toy-train.tfrecord-00000-of-00001");
    good = Files.readAllBytes(shard);
    try (TfRecordReader reader = new TfRecordReader(shard)) {
      offsets = reader.index().offsets();
    }
  }

  private static VlaData data(RldsDataset dataset, int batchSize, int threads) throws IOException {
    return VlaData.of(
        List.of(dataset),
        List.of(),
        tokenizer,
        new ActionTokenizer(1024, 256),
        new ImageTransform(4),
        0,
        VlaDataLoader.Options.training(batchSize, 1).withShuffleBuffer(0).withThreads(threads));
  }

  private RldsDataset open(CorruptRecords policy) throws IOException {
    return RldsDataset.open(folder, "train", RldsKeys.BRIDGE, policy);
  }

  /** The steps of one epoch, as 100·episode + step. */
  private static List<Long> epoch(VlaData data) {
    List<Long> steps = new ArrayList<>();
    try (BatchIterator batches = data.train().epoch(0)) {
      while (batches.hasNext()) {
        try (VlaBatch batch = batches.next()) {
          float[] actions = new float[(int) batch.actions().numel()];
          batch.actions().data_ptr_float().get(actions);
          for (int i = 0; i < batch.size(); i++) {
            float[] action = Arrays.copyOfRange(actions, 7 * i, 7 * i + 7);
            steps.add(Math.round((double) data.statistics().denormalize(action)[0]));
          }
        }
      }
    }
    return steps;
  }

  private static int without(int... episodes) {
    int steps = Arrays.stream(LENGTHS).sum();
    for (int episode : episodes) {
      steps -= LENGTHS[episode];
    }
    return steps;
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 17, 300, 900})
  void aFlippedBitIsLocatedOrSkipped(int byteOfData) throws IOException {
    byte[] bad = good.clone();
    bad[(int) offsets[2] + 12 + byteOfData] ^= 4;
    Files.write(shard, bad);
    CorruptRecordException e =
        assertThrows(CorruptRecordException.class, () -> data(open(CorruptRecords.FAIL), 1, 0));
    assertEquals(shard, e.file());
    assertEquals(2, e.record());
    assertEquals(offsets[2], e.offset());
    assertTrue(
        e.getMessage()
            .startsWith(
                shard
                    + ": record 2 at byte offset "
                    + offsets[2]
                    + ": masked CRC32C of the data ("),
        e.getMessage());

    RldsDataset skipping = open(CorruptRecords.SKIP);
    VlaData data = data(skipping, 1, 1);
    assertEquals(1, skipping.leftOut().records());
    assertEquals(List.of(e.getMessage()), skipping.leftOut().messages());
    assertEquals(without(2), data.statistics().transitions());
    assertEquals(4, data.statistics().trajectories());
    List<Long> steps = epoch(data);
    assertEquals(without(2), steps.size());
    assertTrue(steps.stream().noneMatch(step -> step / 100 == 2), steps.toString());
    assertEquals(1, skipping.leftOut().records(), "each record counts once");
  }

  /** Behind a damaged length nothing can be found: the rest of the shard counts. */
  @Test
  void aDamagedLengthCostsTheRestOfTheShard() throws IOException {
    byte[] bad = good.clone();
    bad[(int) offsets[3] + 1] ^= 1;
    Files.write(shard, bad);
    CorruptRecordException e =
        assertThrows(CorruptRecordException.class, () -> open(CorruptRecords.FAIL));
    assertTrue(
        e.getMessage()
            .startsWith(
                shard
                    + ": record 3 at byte offset "
                    + offsets[3]
                    + ": masked CRC32C of the length field: found 0x"),
        e.getMessage());
    RldsDataset skipping = open(CorruptRecords.SKIP);
    assertEquals(3, skipping.size());
    assertEquals(2, skipping.leftOut().records());
    assertEquals(without(3, 4), epoch(data(skipping, 1, 0)).size());
  }

  @Test
  void aTruncatedShardIsLocatedOrSkipped() throws IOException {
    Files.write(shard, Arrays.copyOf(good, (int) offsets[4] + 40));
    CorruptRecordException e =
        assertThrows(CorruptRecordException.class, () -> open(CorruptRecords.FAIL));
    assertEquals(offsets[4], e.offset());
    assertTrue(e.getMessage().contains(": truncated record: its length field says "));
    RldsDataset skipping = open(CorruptRecords.SKIP);
    assertEquals(1, skipping.leftOut().records());
    assertEquals(without(4), epoch(data(skipping, 1, 0)).size());

    Files.write(shard, Arrays.copyOf(good, (int) offsets[3])); // Between two records.
    assertEquals(
        shard + ": found 3 records, expected 5 as listed in dataset_info.json",
        assertThrows(DatasetFormatException.class, () -> open(CorruptRecords.FAIL)).getMessage());
    assertEquals(2, open(CorruptRecords.SKIP).leftOut().records());
  }

  /** Surplus records are no damage but the wrong dataset_info.json. */
  @Test
  void surplusRecordsAreNeverSkipped() throws IOException {
    byte[] twice = Arrays.copyOf(good, 2 * good.length);
    System.arraycopy(good, 0, twice, good.length, good.length);
    Files.write(shard, twice);
    for (CorruptRecords policy : CorruptRecords.values()) {
      assertEquals(
          shard + ": found 10 records, expected 5 as listed in dataset_info.json",
          assertThrows(DatasetFormatException.class, () -> open(policy)).getMessage());
    }
  }

  /** Replaces features of one record, with right checksums. */
  private void rewrite(int record, Map<String, TfFeature> replaced) throws IOException {
    List<byte[]> records = new ArrayList<>();
    try (TfRecordReader reader = new TfRecordReader(shard)) {
      for (byte[] bytes = reader.next(); bytes != null; bytes = reader.next()) {
        records.add(bytes);
      }
    }
    Map<String, TfFeature> features =
        new TreeMap<>(TfExample.parse(records.get(record)).features());
    features.putAll(replaced);
    records.set(record, new TfExample(features).serialize());
    try (TfRecordWriter writer = new TfRecordWriter(shard)) {
      for (byte[] bytes : records) {
        writer.write(bytes);
      }
    }
  }

  @Test
  void nonFiniteActionsAreLocatedOrSkipped() throws IOException {
    float[] actions = new float[LENGTHS[1] * 7];
    actions[9] = Float.NaN;
    rewrite(1, Map.of("steps/action", new TfFeature.Floats(actions)));
    assertEquals(
        shard
            + ": record 1 at byte offset "
            + offsets[1]
            + ", step 1, key 'steps/action', dimension 2: found NaN, expected a finite number",
        assertThrows(CorruptRecordException.class, () -> data(open(CorruptRecords.FAIL), 1, 0))
            .getMessage());
    assertEquals(without(1), epoch(data(open(CorruptRecords.SKIP), 1, 0)).size());
  }

  private void breakImage(int record, int step) throws IOException {
    replaceImage(record, step, image -> Arrays.copyOf(image, image.length / 2));
  }

  private void replaceImage(int record, int step, UnaryOperator<byte[]> by) throws IOException {
    List<byte[]> images = new ArrayList<>();
    try (EpisodeReader reader = open(CorruptRecords.FAIL).reader()) {
      reader.read(record).steps().forEach(s -> images.add(s.image()));
    }
    images.set(step, by.apply(images.get(step)));
    rewrite(record, Map.of("steps/observation/image_0", new TfFeature.ByteStrings(images)));
  }

  /** The next sample takes the broken one's row, so batches stay full, whatever the threads. */
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 3})
  void aBadImageIsLocatedOrReplacedByTheNext(int threads) throws IOException {
    breakImage(2, 1);
    breakImage(4, 0);
    String message =
        shard
            + ": record 2 at byte offset "
            + offsets[2]
            + ", step 1, image: found a JPEG image of ";
    VlaData failing = data(open(CorruptRecords.FAIL), 4, threads);
    UncheckedIOException e = assertThrows(UncheckedIOException.class, () -> epoch(failing));
    assertTrue(e.getMessage().startsWith(message), e.getMessage());

    RldsDataset skipping = open(CorruptRecords.SKIP);
    VlaData data = data(skipping, 4, threads);
    assertEquals(
        List.of(0L, 1L, 2L, 100L, 101L, 200L, 203L, 202L, 300L, 403L, 401L, 402L), epoch(data));
    assertEquals(2, skipping.leftOut().images());
    assertEquals(0, skipping.leftOut().records());
    assertTrue(skipping.leftOut().messages().get(0).startsWith(message));
    epoch(data);
    assertEquals(2, skipping.leftOut().images(), "each image counts once");
    assertEquals(2, skipping.leftOut().messages().size());
  }

  /** Of bytes that claim a huge image, or one of another format, or are none. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "00",
        "ffd8ffd9",
        "ffd8ffc2000b08fffffffff0010111" + "00ffd9",
        "89504e470d0a1a0a0000000d4948445204000000000000011006000000",
        "89504e470d0a1a0a",
        "47494638396100ff00ff",
        "424d",
        "49492a0008000000",
        "52494646000000005745425056503820",
      })
  @Timeout(60)
  void bombsAreSkippedAndCounted(String bytes) throws IOException {
    replaceImage(2, 1, image -> HexFormat.of().parseHex(bytes));
    RldsDataset skipping = open(CorruptRecords.SKIP);
    assertEquals(without(), epoch(data(skipping, 1, 1)).size() + 1);
    assertEquals(1, skipping.leftOut().images(), skipping.leftOut().describe());
  }

  /** Resuming counts what was drawn, not what was used. */
  @Test
  void skippedImagesDoNotShiftAResumedStream() throws IOException {
    breakImage(0, 1);
    breakImage(2, 0);
    breakImage(4, 4);
    List<List<ImageKey>> whole = new ArrayList<>();
    List<StreamPosition> positions = new ArrayList<>();
    VlaData data = data(open(CorruptRecords.SKIP), 2, 2);
    try (BatchIterator batches = data.train().repeat()) {
      for (int i = 0; i < 20; i++) {
        positions.add(batches.position());
        try (VlaBatch batch = batches.next()) {
          whole.add(batch.images());
        }
      }
    }
    for (int cut : new int[] {1, 2, 3, 7, 13}) {
      try (BatchIterator batches = data(open(CorruptRecords.SKIP), 2, 0).train().repeat()) {
        batches.seek(positions.get(cut));
        for (int i = cut; i < 20; i++) {
          try (VlaBatch batch = batches.next()) {
            assertEquals(whole.get(i), batch.images(), "cut at " + cut);
          }
        }
      }
    }
  }

  @Test
  void nothingReadableEndsTheSearch() throws IOException {
    for (int record = 0; record < LENGTHS.length; record++) {
      for (int step = 0; step < LENGTHS[record]; step++) {
        breakImage(record, step);
      }
    }
    VlaData data = data(open(CorruptRecords.SKIP), 2, 0);
    try (BatchIterator batches = data.train().repeat()) {
      UncheckedIOException e = assertThrows(UncheckedIOException.class, batches::next);
      assertInstanceOf(DatasetFormatException.class, e.getCause());
      assertTrue(
          e.getMessage()
              .startsWith(
                  folder
                      + ": found 16 unreadable steps in succession, expected a readable one; the"
                      + " first: "
                      + shard
                      + ": record 0 at byte offset 0, step 0, image: found a JPEG image of "),
          e.getMessage());
    }
  }

  /** A record that is damaged after the scan: its steps are drawn and left out. */
  @Test
  void aRecordDamagedLaterIsSkippedToo() throws IOException {
    RldsDataset skipping = open(CorruptRecords.SKIP);
    VlaData data = data(skipping, 1, 0);
    byte[] bad = good.clone();
    bad[(int) offsets[2] + 50] ^= 4;
    Files.write(shard, bad);
    assertEquals(without(2), epoch(data).size());
    assertEquals(1, skipping.leftOut().records());
  }
}
