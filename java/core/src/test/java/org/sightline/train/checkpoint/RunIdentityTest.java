package org.sightline.train.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RunIdentityTest {
  @TempDir Path folder;

  private record Inner(int size, Object kind) {}

  private record Outer(double rate, List<Inner> parts, Path place, Inner missing) {}

  private static final Outer OUTER =
      new Outer(0.5, List.of(new Inner(1, new Inner(2, null))), Path.of("here"), null);

  @Test
  void everyComponentCountsButWhatIsFreeAndWhereFilesLie() {
    assertEquals(
        Map.of(
            "missing", "null",
            "parts", "1 items",
            "place", "a path",
            "parts[0].size", "1",
            "parts[0].kind", "Inner",
            "parts[0].kind.size", "2",
            "parts[0].kind.kind", "null"),
        RunIdentity.of(OUTER, Set.of("rate")).values());
    // What is listed as free and was renamed would count, unseen.
    assertEquals(
        "free: found [gone], expected names of components of " + Outer.class.getName(),
        assertThrows(
                IllegalArgumentException.class, () -> RunIdentity.of(OUTER, Set.of("rate", "gone")))
            .getMessage());
  }

  @Test
  void differencesAreNamed() {
    RunIdentity mine = new RunIdentity(Map.of("a", "1", "b", "2", "c", "3"));
    assertEquals(
        List.of("b: found 5, expected 2", "c: found none, expected 3", "d: found 4, expected none"),
        mine.differences(new RunIdentity(Map.of("a", "1", "b", "5", "d", "4"))));
  }

  @Test
  void aStoreTakesCheckpointsOfItsOwnRunAlone() throws Exception {
    CheckpointStore plain = new CheckpointStore(folder, 2);
    plain.of(new RunIdentity(Map.of("data", "one", "seed", "7"))).save(3, List.of());
    CheckpointStore other = plain.of(new RunIdentity(Map.of("data", "two", "seed", "7")));
    String difference =
        folder.resolve("step-000000003") + " is of another run: data: found one, expected two";
    List<String> warnings = new ArrayList<>();
    assertEquals(
        difference,
        assertThrows(IllegalArgumentException.class, () -> other.requireSameRun()).getMessage());
    assertEquals(
        difference,
        assertThrows(IllegalArgumentException.class, () -> other.restore(List.of(), warnings::add))
            .getMessage());
    assertEquals(List.of(), warnings);
    other.acceptingChanges().requireSameRun();
    assertEquals(OptionalInt.of(3), other.acceptingChanges().restore(List.of(), warnings::add));
    assertEquals(List.of(difference + "; going on with it all the same"), warnings);
    // A damaged one says nothing of its run.
    Files.writeString(folder.resolve("step-000000003/manifest.json"), "{");
    other.requireSameRun();
    assertTrue(
        assertThrows(CheckpointException.class, () -> other.restore(List.of(), warnings::add))
            .getMessage()
            .contains("is damaged: manifest.json: "));
  }

  /** However it reads: as another value, another name or none. */
  @ParameterizedTest
  @CsvSource({"one,onf", "data,dat`", "seed,SEED"})
  void aDamagedIdentityIsDamageAndTheOneBeforeIsTaken(String written, String read)
      throws Exception {
    CheckpointStore store =
        new CheckpointStore(folder, 2).of(new RunIdentity(Map.of("data", "one", "seed", "7")));
    store.save(3, List.of());
    store.save(4, List.of());
    Path manifest = folder.resolve("step-000000004/manifest.json");
    Files.writeString(manifest, Files.readString(manifest).replace(written, read));
    List<String> warnings = new ArrayList<>();
    store.requireSameRun();
    assertEquals(OptionalInt.of(3), store.restore(List.of(), warnings::add));
    assertTrue(warnings.get(0).contains("is damaged: manifest.json: identitySha256: "));
  }
}
