package org.sightline.train.listener;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.train.Evaluation;
import org.sightline.train.FineTuneConfig;
import org.sightline.train.Mode;
import org.sightline.train.StepEvent;
import org.sightline.train.checkpoint.Checkpointable;

/** Event files, read here from the description of the formats alone. */
class TensorBoardLogTest {
  @TempDir Path folder;

  private record Event(double wallTime, long step, String version, Map<String, Float> scalars) {}

  /** CRC-32C bit by bit (polynomial 0x1EDC6F41, reflected), masked as TFRecord has it. */
  private static int maskedCrc(byte[] bytes, int from, int length) {
    int crc = -1;
    for (int i = from; i < from + length; i++) {
      crc ^= bytes[i] & 0xff;
      for (int bit = 0; bit < 8; bit++) {
        crc = (crc >>> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
      }
    }
    crc = ~crc;
    return ((crc >>> 15) | (crc << 17)) + 0xa282ead8;
  }

  private static List<Event> read(Path file) throws IOException {
    byte[] bytes = Files.readAllBytes(file);
    ByteBuffer in = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    List<Event> events = new ArrayList<>();
    while (in.hasRemaining()) {
      int start = in.position();
      int length = (int) in.getLong();
      assertEquals(maskedCrc(bytes, start, 8), in.getInt());
      int body = in.position();
      events.add(event(ByteBuffer.wrap(bytes, body, length).order(ByteOrder.LITTLE_ENDIAN)));
      in.position(body + length);
      assertEquals(maskedCrc(bytes, body, length), in.getInt());
    }
    return events;
  }

  private static Event event(ByteBuffer in) {
    double wallTime = 0;
    long step = 0;
    String version = null;
    Map<String, Float> scalars = new LinkedHashMap<>();
    while (in.hasRemaining()) {
      int tag = (int) varint(in);
      switch (tag) {
        case 1 << 3 | 1 -> wallTime = in.getDouble();
        case 2 << 3 -> step = varint(in);
        case 3 << 3 | 2 -> version = new String(bytes(in), StandardCharsets.UTF_8);
        case 5 << 3 | 2 -> {
          ByteBuffer summary = ByteBuffer.wrap(bytes(in)).order(ByteOrder.LITTLE_ENDIAN);
          while (summary.hasRemaining()) {
            assertEquals(1 << 3 | 2, (int) varint(summary));
            ByteBuffer value = ByteBuffer.wrap(bytes(summary)).order(ByteOrder.LITTLE_ENDIAN);
            assertEquals(1 << 3 | 2, (int) varint(value));
            String name = new String(bytes(value), StandardCharsets.UTF_8);
            assertEquals(2 << 3 | 5, (int) varint(value));
            scalars.put(name, value.getFloat());
            assertEquals(0, value.remaining());
          }
        }
        default -> throw new AssertionError("tag " + tag);
      }
    }
    return new Event(wallTime, step, version, scalars);
  }

  private static byte[] bytes(ByteBuffer in) {
    byte[] bytes = new byte[(int) varint(in)];
    in.get(bytes);
    return bytes;
  }

  private static long varint(ByteBuffer in) {
    long value = 0;
    for (int shift = 0; ; shift += 7) {
      byte next = in.get();
      value |= (long) (next & 0x7f) << shift;
      if (next >= 0) {
        return value;
      }
    }
  }

  private static StepEvent step(int step) {
    return new StepEvent(
        step,
        1000,
        1.5,
        OptionalDouble.of(-0.25),
        1.45,
        Map.of(16, 0.25),
        Double.NaN,
        5e-4,
        1,
        7,
        Map.of("token_accuracy", 1.0 / 3),
        0.5,
        16);
  }

  private static final Evaluation EVALUATION =
      new Evaluation(300, 3, 2.5, OptionalDouble.empty(), Map.of(2, 0.5), Map.of("é", 1.0), 4);

  @Test
  void scalarsAreWhatAnotherReaderFinds() throws IOException {
    try (TensorBoardLog log = new TensorBoardLog(folder)) {
      log.begin(FineTuneConfig.builder(Mode.DEFAULT, 1).build(), 1, 1);
      log.step(step(300));
      // Others see it while the run goes on.
      assertEquals(2, read(folder.resolve(TensorBoardLog.FILE)).size());
      log.evaluation(EVALUATION);
    }
    byte[] bytes = Files.readAllBytes(folder.resolve(TensorBoardLog.FILE));
    // How every event file of TensorFlow begins: a record of 24 bytes and that number's checksum.
    assertArrayEquals(
        new byte[] {0x18, 0, 0, 0, 0, 0, 0, 0, (byte) 0xa3, 0x7f, 0x4b, 0x22},
        Arrays.copyOf(bytes, 12));
    List<Event> events = read(folder.resolve(TensorBoardLog.FILE));
    assertEquals(3, events.size());
    assertEquals("brain.Event:2", events.get(0).version);
    double now = System.currentTimeMillis() * 1e-3;
    for (Event event : events) {
      assertTrue(event.wallTime <= now && event.wallTime > now - 600, "" + event.wallTime);
    }
    Event train = events.get(1);
    assertEquals(300, train.step);
    Map<String, Float> expected = new LinkedHashMap<>();
    expected.put("train/action_loss", 1.5f);
    expected.put("train/alignment_loss", -0.25f);
    expected.put("train/total_loss", 1.45f);
    expected.put("train/cosine_16", 0.25f);
    expected.put("train/grad_norm", Float.NaN);
    expected.put("train/learning_rate", 5e-4f);
    expected.put("train/skipped_steps", 1f);
    expected.put("train/non_finite", 7f);
    expected.put("train/seconds_per_step", 0.5f);
    expected.put("train/samples_per_second", 16f);
    expected.put("train/token_accuracy", 1 / 3f);
    assertEquals(expected, train.scalars);
    assertEquals(
        Map.of(
            "evaluation/action_loss", 2.5f,
            "evaluation/cosine_2", 0.5f,
            "evaluation/é", 1f,
            "evaluation/seconds", 4f),
        events.get(2).scalars);
  }

  @Test
  void aResumedRunGoesOnInTheSameFile() throws IOException {
    FineTuneConfig config = FineTuneConfig.builder(Mode.DEFAULT, 1).build();
    Checkpointable.State state;
    try (TensorBoardLog log = new TensorBoardLog(folder)) {
      log.begin(config, 1, 1);
      log.step(step(1));
      state = log.state();
      log.step(step(2));
      log.step(step(3));
    }
    Path file = folder.resolve(TensorBoardLog.FILE);
    try (TensorBoardLog log = new TensorBoardLog(folder)) {
      log.restore(state);
      log.begin(config, 1, 1);
      log.step(step(2));
    }
    assertEquals(List.of(0L, 1L, 2L), read(file).stream().map(Event::step).toList());
    try (TensorBoardLog log = new TensorBoardLog(folder)) {
      log.begin(config, 1, 1);
    }
    assertEquals(1, read(file).size(), "a new run begins a new file");
    try (TensorBoardLog log = new TensorBoardLog(folder)) {
      log.restore(state);
      String message =
          assertThrows(UncheckedIOException.class, () -> log.begin(config, 1, 1)).getMessage();
      assertTrue(message.startsWith(file + ": found 40 bytes, expected at least "), message);
    }
  }
}
