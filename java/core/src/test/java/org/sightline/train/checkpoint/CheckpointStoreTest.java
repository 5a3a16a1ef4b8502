package org.sightline.train.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.Values;
import org.sightline.formats.file.FolderLock;
import org.sightline.train.Toy;

class CheckpointStoreTest {
  @TempDir Path folder;

  /** A tensor and a number. */
  private static class Part implements Checkpointable {
    final String name;
    final Tensor tensor = Toy.random(1, 1, 3);
    double number;
    RuntimeException failure;

    Part(String name) {
      this.name = name;
    }

    Part set(double value) {
      tensor.fill_(new Scalar(value));
      number = value;
      return this;
    }

    @Override
    public String name() {
      return name;
    }

    @Override
    public State state() {
      if (failure != null) {
        throw failure;
      }
      return new State(Map.of("tensor", tensor), "{\"number\":" + number + "}");
    }

    @Override
    public void restore(State state) {
      tensor.copy_(state.tensors().get("tensor"));
      number = Double.parseDouble(state.json().replaceAll("[^0-9.eE-]", "").replaceAll("^e", ""));
    }
  }

  private final List<String> warnings = new ArrayList<>();

  private CheckpointStore storeOf(int keep, int... steps) throws IOException {
    CheckpointStore store = new CheckpointStore(folder, keep);
    for (int step : steps) {
      store.save(step, List.of(new Part("a").set(step), new Part("b").set(-step)));
    }
    return store;
  }

  private List<Float> restored(CheckpointStore store) throws IOException {
    Part a = new Part("a");
    Part b = new Part("b");
    OptionalInt step = store.restore(List.of(b, a), warnings::add);
    assertEquals(step.orElseThrow(), a.number);
    assertEquals(-step.orElseThrow(), b.number);
    return Values.floats(a.tensor);
  }

  @Test
  void anEmptyStoreRestoresNothing() throws IOException {
    Part part = new Part("a").set(7);
    CheckpointStore store = new CheckpointStore(folder.resolve("none"), 1);
    assertEquals(OptionalInt.empty(), store.restore(List.of(part), warnings::add));
    assertEquals(7, part.number);
    assertEquals(List.of(), store.steps());
  }

  @ParameterizedTest
  @CsvSource({"1,30", "2,20;30", "9,10;20;30"})
  void keepsTheNewest(int keep, String expected) throws IOException {
    CheckpointStore store = storeOf(keep, 10, 20, 30);
    assertEquals(Stream.of(expected.split(";")).map(Integer::valueOf).toList(), store.steps());
    assertEquals(List.of(30f, 30f, 30f), restored(store));
    assertEquals(store.steps().size(), entries().size(), () -> "left over: " + entries());
    assertEquals(List.of(), warnings);
  }

  private List<String> entries() {
    try (Stream<Path> list = Files.list(folder)) {
      return list.map(path -> path.getFileName().toString()).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Every way a file can be spoilt: each is noticed, named, and the one before it is taken. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "a.safetensors | FLIP     | a.safetensors: found SHA-256 ",
        "b.safetensors | TRUNCATE | b.safetensors: found 0 bytes, expected ",
        "state.json    | FLIP     | state.json: found SHA-256 ",
        "state.json    | DELETE   | state.json: found no such file, expected ",
        "manifest.json | DELETE   | found no manifest.json",
        "manifest.json | TRUNCATE | manifest.json: line 1, column 1: found nothing, expected a value",
        "manifest.json | FLIP     | manifest.json: ",
        "state.json    | FOLDER   | state.json: found no such file, expected ",
        "c.safetensors | ADD      | c.safetensors: found a file, expected none of that name",
      })
  void aDamagedCheckpointIsToldAndTheOneBeforeItTaken(String file, String damage, String problem)
      throws IOException {
    CheckpointStore store = storeOf(3, 10, 20);
    Path newest = folder.resolve("step-000000020");
    damage(newest.resolve(file), damage);
    assertEquals(List.of(10f, 10f, 10f), restored(store));
    assertEquals(1, warnings.size(), warnings::toString);
    assertTrue(
        warnings.get(0).startsWith(newest + " is damaged: " + problem), () -> warnings.get(0));
    assertTrue(warnings.get(0).endsWith("; going back to step 10"), () -> warnings.get(0));
    // The run goes on from 10 and comes by the damaged one again.
    store.save(20, List.of(new Part("a").set(20), new Part("b").set(-20)));
    assertEquals(List.of(20f, 20f, 20f), restored(store));
    assertEquals(List.of("step-000000010", "step-000000020"), entries());
  }

  private static void damage(Path file, String damage) throws IOException {
    switch (damage) {
      case "FLIP" -> {
        byte[] bytes = Files.readAllBytes(file);
        bytes[bytes.length / 2] ^= 1;
        Files.write(file, bytes);
      }
      case "TRUNCATE", "ADD" -> Files.write(file, new byte[0]);
      case "FOLDER" -> {
        Files.delete(file);
        Files.createDirectory(file);
      }
      default -> Files.delete(file);
    }
  }

  @Test
  void aCheckpointUnderAnotherName() throws IOException {
    CheckpointStore store = storeOf(3, 10, 20);
    Files.move(folder.resolve("step-000000020"), folder.resolve("step-000000030"));
    assertEquals(List.of(10f, 10f, 10f), restored(store));
    assertTrue(
        warnings.get(0).contains("manifest.json: found step 20, expected 30"),
        () -> warnings.get(0));
  }

  /** Names that are no paths in some locale or on some system, or lead elsewhere. */
  @ParameterizedTest
  @ValueSource(strings = {"a\\u0000.safetensors", "a\\ufffd.safetensors", "../a", "", "/", "."})
  void aManifestThatNamesWhatIsNotThere(String name) throws IOException {
    CheckpointStore store = storeOf(3, 10, 20);
    Path manifest = folder.resolve("step-000000020/manifest.json");
    String text = Files.readString(manifest);
    Files.writeString(manifest, text.replace("\"a.safetensors\"", '"' + name + '"'));
    assertEquals(List.of(10f, 10f, 10f), restored(store));
    assertTrue(warnings.get(0).contains(" is damaged: "), () -> warnings.get(0));
  }

  /** What a byte of the manifest can become: never an end, never a wrong state. */
  @Test
  void aFlippedBitAnywhereInAManifest() throws IOException {
    CheckpointStore store = storeOf(3, 10, 20);
    Path manifest = folder.resolve("step-000000020/manifest.json");
    byte[] good = Files.readAllBytes(manifest);
    for (int bit = 0; bit < 8 * good.length; bit += 7) {
      byte[] bad = good.clone();
      bad[bit / 8] ^= (byte) (1 << bit % 8);
      Files.write(manifest, bad);
      float step = restored(store).get(0);
      assertTrue(step == 20 ? warnings.isEmpty() : step == 10 && warnings.size() == 1);
      warnings.clear();
    }
  }

  @Test
  void aStoreOfDamagedCheckpointsIsNotAnEmptyOne() throws IOException {
    CheckpointStore store = storeOf(2, 10, 20);
    damage(folder.resolve("step-000000010/state.json"), "FLIP");
    damage(folder.resolve("step-000000020/state.json"), "FLIP");
    CheckpointException e = assertThrows(CheckpointException.class, () -> restored(store));
    assertTrue(
        e.getMessage()
            .matches(
                ("no checkpoint in %s can be used:\n"
                        + "  .*step-000000020 is damaged: state.json: found SHA-256 .*\n"
                        + "  .*step-000000010 is damaged: state.json: found SHA-256 .*")
                    .formatted(folder)),
        e.getMessage());
    assertEquals(List.of(), warnings);
  }

  /** Its bytes are right and yet nothing can be made of them. */
  @Test
  void aPartThatCannotTakeItsStateMeansTheCheckpointBefore() throws IOException {
    CheckpointStore store = storeOf(3, 10, 20);
    List<Part> parts = List.of(new Part("a"), new Part("b"));
    Part picky =
        new Part("b") {
          @Override
          public void restore(State state) {
            super.restore(state);
            if (number == -20) {
              throw new IllegalStateException("not this one");
            }
          }
        };
    assertEquals(10, store.restore(List.of(parts.get(0), picky), warnings::add).orElseThrow());
    assertEquals(10, parts.get(0).number);
    assertTrue(warnings.get(0).contains("IllegalStateException: not this one; going back"));
  }

  /** Steps beyond the one saved are of a course of the run that was given up. */
  @Test
  void savingBehindDamagedOnesDeletesThem() throws IOException {
    CheckpointStore store = storeOf(2, 10, 40, 50);
    damage(folder.resolve("step-000000050/state.json"), "FLIP");
    damage(folder.resolve("step-000000040/state.json"), "FLIP");
    storeOf(2, 20);
    assertEquals(List.of(20), store.steps());
    assertEquals(List.of(20f, 20f, 20f), restored(store));
  }

  @ParameterizedTest
  @ValueSource(strings = {"a", "b"})
  void aFailureLeavesNothingOfItAndAllThatWas(String failing) throws IOException {
    CheckpointStore store = storeOf(2, 10);
    Part a = new Part("a").set(20);
    Part b = new Part("b").set(-20);
    (failing.equals("a") ? a : b).failure =
        new UncheckedIOException(new IOException("No space left on device"));
    CheckpointException e =
        assertThrows(CheckpointException.class, () -> store.save(20, List.of(a, b)));
    assertTrue(
        e.getMessage()
            .matches(
                "checkpoint of step 20 in .* cannot be written: .*No space left on device \\(\\d+"
                    + " bytes free\\); nothing is left of it, the newest complete one is of step"
                    + " 10"),
        e.getMessage());
    assertEquals(List.of("step-000000010"), entries());
    assertEquals(List.of(10f, 10f, 10f), restored(store));
    // A mistake of the program stays what it is.
    b.failure = new IllegalStateException("closed");
    a.failure = null;
    assertEquals(
        "closed",
        assertThrows(IllegalStateException.class, () -> store.save(20, List.of(a, b)))
            .getMessage());
    assertEquals(List.of("step-000000010"), entries());
  }

  /** Whoever took the lock file away may be writing by now. */
  @Test
  void oneThatCannotBeReplacedStays() throws IOException {
    CheckpointStore store = storeOf(2, 10, 20);
    var none = new CheckpointFolders(folder); // There is no draft that could take its name.
    assertThrows(NoSuchFileException.class, () -> none.publish(20));
    assertEquals(List.of(20f, 20f, 20f), restored(store));
    assertEquals(List.of(), warnings);
  }

  @Test
  void nothingIsTouchedOnceTheLockIsLost(@TempDir Path elsewhere) throws IOException {
    storeOf(2, 10);
    List<String> clean = entries();
    Path half = Files.createDirectory(folder.resolve(".step-000000020.tmp"));
    List<String> before = entries();
    Path file = elsewhere.resolve("lock");
    try (FolderLock lock = FolderLock.of(file)) {
      CheckpointStore store = new CheckpointStore(folder, 1).lockedBy(lock);
      List<Part> parts = List.of(new Part("a"), new Part("b"));
      assertEquals(10, store.restore(parts, warnings::add).orElseThrow());
      assertEquals(clean, entries(), "what a killed run left is gone");
      Files.createDirectory(half);
      Files.delete(file);
      String lost = file + ": found no such file, expected the one that is locked";
      for (Executable use :
          List.<Executable>of(
              () -> store.save(20, parts),
              () -> store.restore(parts, warnings::add),
              () -> store.setAside(10))) {
        assertTrue(assertThrows(IOException.class, use).getMessage().startsWith(lost));
      }
    }
    assertEquals(before, entries());
  }

  /** What a process leaves behind that is killed while writing. */
  @Test
  void halfACheckpointIsNoneAndGoesWithTheNext() throws IOException {
    CheckpointStore store = storeOf(2, 10);
    Path half = Files.createDirectory(folder.resolve(".step-000000020.tmp"));
    Files.writeString(half.resolve("a.safetensors"), "half");
    Files.createDirectory(folder.resolve(".step-000000005.old.tmp"));
    Files.writeString(folder.resolve("notes.txt"), "mine");
    assertEquals(List.of(10f, 10f, 10f), restored(store));
    storeOf(2, 20);
    assertEquals(List.of("notes.txt", "step-000000010", "step-000000020"), entries());
  }

  @Test
  void partsMustBeNamedAndThere() throws IOException {
    CheckpointStore store = storeOf(1, 10);
    Path newest = folder.resolve("step-000000010");
    assertRefused(
        newest + ": " + newest + " must hold the part 'c', found [a, b]", store, new Part("c"));
    assertEquals(
        "names of parts must be distinct, found 'a' twice",
        assertThrows(
                IllegalArgumentException.class,
                () -> store.save(20, List.of(new Part("a"), new Part("a"))))
            .getMessage());
    assertEquals(
        "a part's name must match [a-z0-9_-]+, found '../a'",
        assertThrows(
                IllegalArgumentException.class, () -> store.save(20, List.of(new Part("../a"))))
            .getMessage());
    assertEquals(
        "keep must be at least 1, found 0",
        assertThrows(IllegalArgumentException.class, () -> new CheckpointStore(folder, 0))
            .getMessage());
    assertFalse(Files.exists(folder.resolve("step-000000020")));
  }

  @Test
  void tensorsThatDoNotFitAreRefusedByName() throws IOException {
    CheckpointStore store = new CheckpointStore(folder, 1);
    Tensor three = Toy.random(1, 1, 3);
    store.save(1, List.of(new TensorsPart("weights", () -> Map.of("w", three))));
    Tensor broadcastable = Toy.random(2, 1, 2, 3);
    TensorsPart other = new TensorsPart("weights", () -> Map.of("w", broadcastable));
    String misfit = folder.resolve("step-000000001") + ": checkpoint does not fit this run: ";
    assertRefused(misfit + "weights: w: found Float [3], expected Float [2, 3]", store, other);
    TensorsPart renamed = new TensorsPart("weights", () -> Map.of("v", three));
    assertRefused(misfit + "weights: tensors: found [w], expected [v]", store, renamed);
  }

  private void assertRefused(String problem, CheckpointStore store, Checkpointable part) {
    assertEquals(
        "no checkpoint in " + folder + " can be used:\n  " + problem,
        assertThrows(CheckpointException.class, () -> store.restore(List.of(part), warnings::add))
            .getMessage());
  }
}
