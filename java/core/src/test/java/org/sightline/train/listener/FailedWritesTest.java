package org.sightline.train.listener;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.FailedWrites;
import org.sightline.FailingCall;
import org.sightline.Sightline;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.AtomicFolder;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.formats.tfrecord.TfRecordWriter;
import org.sightline.train.checkpoint.CheckpointStore;
import org.sightline.train.checkpoint.Checkpointable;
import org.sightline.train.checkpoint.Checkpointable.State;

/** A write that fails, wherever it does, leaves the old files whole, names its own, and is gone. */
class FailedWritesTest {
  @TempDir private Path folder;

  @BeforeAll
  static void load() {
    Sightline.load();
  }

  @BeforeEach
  void fill() throws Exception {
    Files.writeString(folder.resolve("other"), "stays");
  }

  @Test
  void text() throws Exception {
    Path file = Files.writeString(folder.resolve("a.txt"), "the one before, which is longer");
    FailedWrites.of(folder, () -> AtomicFile.writeText(file, "the new one"));
    assertEquals("the new one", Files.readString(file));
  }

  @Test
  void safetensors() throws Exception {
    try (PointerScope scope = new PointerScope()) {
      Path file = folder.resolve("a.safetensors");
      Safetensors.write(file, Map.of("a", torch.zeros(3)), Map.of());
      Map<String, Tensor> tensors = Map.of("a", torch.ones(5), "b", torch.ones(40));
      FailedWrites.of(folder, () -> Safetensors.write(file, tensors, Map.of("c", "d")));
      try (Safetensors written = Safetensors.open(file)) {
        assertEquals(40, written.tensor("b").sum().item_double());
      }
    }
  }

  @Test
  void folders() throws Exception {
    Path target = folder.resolve("new");
    FailedWrites.of(
        folder,
        () ->
            AtomicFolder.write(
                target,
                draft -> {
                  AtomicFile.writeText(draft.resolve("first"), "1");
                  AtomicFile.writeText(draft.resolve("second"), "22");
                }));
    assertEquals("22", Files.readString(target.resolve("second")));
  }

  /** The run goes on from the one that is there. */
  @Test
  void checkpoints() throws Exception {
    try (PointerScope scope = new PointerScope()) {
      Counter counter = new Counter();
      CheckpointStore store = new CheckpointStore(folder, 2);
      store.save(1, List.of(counter));
      FailedWrites.of(
          folder,
          () -> {
            assertEquals(OptionalInt.of(1), store.restore(List.of(counter), w -> {}));
            store.save(2, List.of(counter));
          });
      assertEquals(OptionalInt.of(2), store.restore(List.of(counter), w -> {}));
    }
  }

  /** Rows that were begun are cut off when the run goes on. */
  @Test
  void logs() throws Exception {
    Path file = folder.resolve("log.csv");
    List<String> columns = List.of("step", "loss");
    Map<String, Object> next = Map.of("step", 2, "loss", 0.25);
    State state;
    byte[] expected;
    try (CsvListener csv = new CsvListener("csv", file) {}) {
      csv.begin();
      csv.columns(columns);
      csv.row(Map.of("step", 1, "loss", 0.5));
      state = csv.state();
      csv.row(next);
      csv.state();
      expected = Files.readAllBytes(file);
    }
    restored(file, state, csv -> {});
    FailedWrites.of(
        folder,
        () -> {
          try {
            restored(
                file,
                state,
                csv -> {
                  csv.row(next);
                  csv.state();
                });
          } catch (Exception e) {
            restored(file, state, csv -> {}); // A shorter one, whatever the limit.
            throw e;
          }
        });
    assertArrayEquals(expected, Files.readAllBytes(file));
  }

  /** Goes on from where they were durable, and names its file in whatever cannot be made so. */
  @Test
  void records() throws Exception {
    Path file = folder.resolve("events");
    try (TfRecordWriter writer = new TfRecordWriter(file, 0)) {
      writer.write(new byte[3]);
    }
    long keep = Files.size(file);
    FailedWrites.of(
        folder,
        () -> {
          try (TfRecordWriter writer = new TfRecordWriter(file, keep)) {
            writer.write(new byte[200]);
            writer.force();
          } catch (Exception e) {
            new TfRecordWriter(file, keep).close();
            throw e;
          }
        });
  }

  /** What is durable and in its place is there; what is not may be lost, and is said to be. */
  @Test
  void closing() throws Exception {
    Path file = folder.resolve("a.txt");
    Path target = folder.resolve("new");
    Path csv = folder.resolve("log.csv");
    Path events = folder.resolve("events");
    AtomicFile.writeText(target.resolveSibling("warm"), ""); // Classes are loaded from files, too.
    FailingCall.inThread(
        () ->
            AtomicFile.write(
                file,
                channel -> {
                  channel.write(ByteBuffer.wrap(new byte[7]));
                  FailingCall.CLOSE.begin();
                }));
    assertEquals(7, Files.size(file));
    FailingCall.inThread(
        () ->
            AtomicFolder.write(
                target,
                draft -> {
                  AtomicFile.writeText(draft.resolve("one"), "1");
                  FailingCall.CLOSE.begin();
                }));
    assertEquals("1", Files.readString(target.resolve("one")));
    assertNames(csv, new CsvListener("csv", csv) {});
    assertNames(events, new TfRecordWriter(events, 0));
  }

  private static void assertNames(Path file, AutoCloseable writer) throws Exception {
    FailingCall.inThread(
        () -> {
          FailingCall.CLOSE.begin();
          IOException e = assertThrows(IOException.class, writer::close);
          assertEquals(file + ": Input/output error", e.getMessage());
        });
  }

  private interface Use {
    void of(CsvListener csv) throws Exception;
  }

  private static void restored(Path file, State state, Use use) throws Exception {
    try (CsvListener csv = new CsvListener("csv", file) {}) {
      csv.restore(state);
      csv.begin();
      use.of(csv);
    }
  }

  private static final class Counter implements Checkpointable {
    @Override
    public String name() {
      return "counter";
    }

    @Override
    public State state() {
      return new State(Map.of("a", torch.ones(20)), "{\"number\": 1}");
    }

    @Override
    public void restore(State state) {
      assertEquals(20, state.tensors().get("a").sum().item_double());
    }
  }
}
