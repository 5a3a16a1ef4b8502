package org.sightline.vla.teacher.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.sightline.vla.teacher.cache.StoreProcess.KIND;
import static org.sightline.vla.teacher.cache.StoreProcess.features;
import static org.sightline.vla.teacher.cache.StoreProcess.key;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.FailingCall;

class FeatureStoreTest {
  @TempDir Path folder;

  private static void fill(FeatureStore store, long first, long count) {
    for (long i = first; i < first + count; i++) {
      store.put(key(i), features(store.kind(), i));
    }
  }

  private static void assertHolds(FeatureStore store, long... numbers) throws IOException {
    for (long i : numbers) {
      assertEquals(features(store.kind(), i), store.get(key(i)), "picture " + i);
    }
  }

  @Test
  void whatCannotBeMadeDurableIsNotIndexed() throws Exception {
    FailingCall.inThread(
        () -> {
          try (FeatureStore store = FeatureStore.open(folder, KIND)) {
            fill(store, 0, 1);
            store.force();
            FailingCall.FSYNC.begin();
            fill(store, 1, 1);
            store.force();
            String message = store.writeFailure().getMessage();
            assertEquals(store.folder().resolve("features.bf16") + ": sync failed", message);
          }
        });
    try (FeatureStore store = FeatureStore.open(folder, KIND)) {
      assertHolds(store, 0);
      assertNull(store.get(key(1)));
    }
  }

  @Test
  void entriesAreReadAtOnceAndAfterReopening() throws IOException {
    Path files;
    try (FeatureStore store = FeatureStore.open(folder, KIND)) {
      assertNull(store.get(key(0)));
      fill(store, 0, 200);
      assertHolds(store, 0, 1, 63, 64, 199);
      assertEquals(200, store.size());
      files = store.folder();
    }
    assertEquals(200 * 32, Files.size(files.resolve("index")));
    try (FeatureStore store = FeatureStore.open(folder, KIND)) {
      assertEquals(200, store.size());
      for (int i = 0; i < 200; i++) {
        assertHolds(store, i);
      }
      assertNull(store.get(key(200)));
      fill(store, 200, 1);
      assertHolds(store, 200, 199);
      assertEquals(0, store.damaged());
      assertNull(store.writeFailure());
    }
    try (FeatureStore store = FeatureStore.open(folder, KIND)) {
      assertHolds(store, 0, 200);
    }
  }

  @Test
  void anInterruptedThreadLeavesItToOthers() throws IOException {
    try (FeatureStore store = FeatureStore.open(folder, KIND)) {
      Thread.currentThread().interrupt();
      fill(store, 0, 1);
      store.force();
      assertHolds(store, 0);
      assertTrue(Thread.interrupted(), "the flag is the caller's");
      fill(store, 1, 1);
      assertHolds(store, 0, 1);
      assertNull(store.writeFailure());
    }
    try (FeatureStore store = FeatureStore.open(folder, KIND)) {
      assertHolds(store, 0, 1);
    }
  }

  /** Whoever writes the index gives out one slot after the other. */
  @Test
  void anIndexThatSkipsSlotsEndsThere() throws IOException {
    Path file = folder.resolve("index");
    try (EntryIndex index = new EntryIndex(file)) {
      index.append(
          List.of(
              new EntryIndex.Entry(key(0), 0, 5),
              new EntryIndex.Entry(key(1), Integer.MAX_VALUE, 6),
              new EntryIndex.Entry(key(2), 1, 7)));
    }
    try (EntryIndex index = new EntryIndex(file)) {
      assertEquals(1, index.size());
      assertEquals(1, index.nextSlot());
    }
    assertEquals(EntryIndex.RECORD_BYTES, Files.size(file));
  }

  /** Entries of 4 MiB, 16 to a mapped segment. */
  @Test
  void largeStoresSpanSegments() throws IOException {
    FeatureKind large = new FeatureKind("t", "p", 1024, 2048);
    try (FeatureStore store = FeatureStore.open(folder, large)) {
      fill(store, 0, 18);
      assertHolds(store, 0, 15, 16, 17);
    }
    try (FeatureStore store = FeatureStore.open(folder, large)) {
      assertHolds(store, 17, 16, 15, 0);
    }
  }

  @Test
  void everyKindHasItsOwnFile() throws IOException {
    FeatureKind[] kinds = {
      KIND,
      new FeatureKind("other", "pixels", 16, 64),
      new FeatureKind("teacher", "other", 16, 64),
      new FeatureKind("teacher", "pixels", 64, 16)
    };
    for (FeatureKind kind : kinds) {
      try (FeatureStore store = FeatureStore.open(folder, kind)) {
        assertNull(store.get(key(1)));
        fill(store, 1, 1);
      }
    }
    assertEquals(4, Arrays.stream(kinds).map(FeatureKind::hash).distinct().count());
    assertEquals(KIND.hash(), new FeatureKind("teacher", "pixels", 16, 64).hash());
    assertEquals(2048, KIND.entryBytes());
    Path file = folder.resolve(KIND.hash().substring(0, 16)).resolve("kind.txt");
    Files.writeString(file, "something else\n");
    assertEquals(
        file
            + ": found something else, expected FeatureKind[teacher=teacher, preprocessing=pixels,"
            + " tokens=16, width=64]; delete the folder to start anew",
        assertThrows(IOException.class, () -> FeatureStore.open(folder, KIND)).getMessage());
  }

  @Test
  void teachersAreIdentifiedByTheirFiles() throws IOException {
    Path a = Files.writeString(folder.resolve("model.safetensors"), "weights");
    String one = FeatureKind.identify(a, "fp32", "grid 6");
    assertEquals(one, FeatureKind.identify(a, "fp32", "grid 6"));
    assertTrue(one.endsWith(" fp32, grid 6"), one);
    assertNotEquals(one, FeatureKind.identify(a, "bf16", "grid 6"));
    String whole = FeatureKind.identify(folder);
    Files.writeString(folder.resolve("README.md"), "changes nothing");
    assertEquals(whole, FeatureKind.identify(folder));
    Files.writeString(folder.resolve("config.json"), "{}");
    assertNotEquals(whole, FeatureKind.identify(folder));
    Files.writeString(a, "Weights");
    assertNotEquals(one, FeatureKind.identify(a, "fp32", "grid 6"));
  }

  @Test
  void oneUserAtATime() throws Exception {
    Path store = folder.resolve(KIND.hash().substring(0, 16));
    try (FeatureStore first = FeatureStore.open(folder, KIND)) {
      assertEquals(
          store + " is in use by this process, expected one writer at a time",
          assertThrows(IOException.class, () -> FeatureStore.open(folder, KIND)).getMessage());
      fill(first, 0, 1);
    }
    Process other = StoreProcess.start("", folder, "hold");
    try (BufferedReader out = other.inputReader()) {
      assertEquals("open", out.readLine());
      assertEquals(
          store + " is in use by another process, expected one writer at a time",
          assertThrows(IOException.class, () -> FeatureStore.open(folder, KIND)).getMessage());
    } finally {
      other.destroyForcibly().waitFor();
    }
    FeatureStore.open(folder, KIND).close(); // The lock died with its process.
  }

  /** Whoever took the lock file away may be storing by now: in the slots that are free here. */
  @Test
  void nothingIsStoredOnceTheLockIsLost() throws IOException {
    try (FeatureStore first = FeatureStore.open(folder, KIND)) {
      fill(first, 0, 1);
      first.force();
      Files.delete(first.folder().resolve("lock"));
      try (FeatureStore second = FeatureStore.open(folder, KIND)) {
        fill(second, 1, 1);
        fill(first, 2, 1);
        assertTrue(first.writeFailure().getMessage().contains("expected the one that is locked"));
      }
    }
    try (FeatureStore store = FeatureStore.open(folder, KIND)) {
      assertEquals(2, store.size());
      assertHolds(store, 0);
      assertHolds(store, 1);
    }
  }

  /** Cut anywhere, the index keeps the whole records before the cut, and can be appended to. */
  @Test
  void aTornIndexEndsBeforeTheTear() throws IOException {
    FeatureStore store = FeatureStore.open(folder, KIND);
    fill(store, 0, 5);
    store.close();
    Path index = store.folder().resolve("index");
    byte[] whole = Files.readAllBytes(index);
    for (int length = 0; length <= whole.length; length += 9) {
      Files.write(index, Arrays.copyOf(whole, length));
      try (FeatureStore reopened = FeatureStore.open(folder, KIND)) {
        assertEquals(length / 32, reopened.size(), "cut at " + length);
        for (int i = 0; i < length / 32; i++) {
          assertHolds(reopened, i);
        }
        fill(reopened, 10, 1);
      }
      try (FeatureStore reopened = FeatureStore.open(folder, KIND)) {
        assertEquals(length / 32 + 1, reopened.size());
        assertHolds(reopened, 10);
      }
      restore(store.folder(), 5); // Slots behind the cut were used again.
    }
  }

  private void restore(Path files, int count) throws IOException {
    Files.delete(files.resolve("index"));
    try (FeatureStore store = FeatureStore.open(folder, KIND)) {
      fill(store, 0, count);
    }
  }

  @Test
  void noFlippedBitOfTheIndexIsBelieved() throws IOException {
    FeatureStore store = FeatureStore.open(folder, KIND);
    fill(store, 0, 3);
    store.close();
    Path index = store.folder().resolve("index");
    byte[] whole = Files.readAllBytes(index);
    for (int bit = 0; bit < whole.length * 8; bit++) {
      byte[] bad = whole.clone();
      bad[bit / 8] ^= (byte) (1 << bit % 8);
      Files.write(index, bad);
      try (EntryIndex reopened = new EntryIndex(index)) {
        assertEquals(bit / 8 / 32, reopened.size(), "bit " + bit);
      }
    }
  }

  @Test
  void damagedFeaturesAreGivenUpAndStoredAnew() throws IOException {
    FeatureStore store = FeatureStore.open(folder, KIND);
    fill(store, 0, 10);
    store.close();
    Path file = store.folder().resolve("features.bf16");
    byte[] bytes = Files.readAllBytes(file);
    Random random = new Random(3);
    for (int i = 0; i < 10; i += 2) {
      bytes[i * 2048 + random.nextInt(2048)] ^= (byte) (1 << random.nextInt(8));
    }
    Files.write(file, bytes);
    try (FeatureStore reopened = FeatureStore.open(folder, KIND)) {
      for (int i = 0; i < 10; i++) {
        if (i % 2 == 0) {
          assertNull(reopened.get(key(i)));
          assertNull(reopened.get(key(i)), "given up: counted once");
          fill(reopened, i, 1);
        }
        assertHolds(reopened, i);
      }
      assertEquals(5, reopened.damaged());
    }
    try (FeatureStore reopened = FeatureStore.open(folder, KIND)) {
      for (int i = 0; i < 10; i++) {
        assertHolds(reopened, i);
      }
      assertEquals(0, reopened.damaged());
    }
    Files.write(file, Arrays.copyOf(bytes, 2048 * 4 + 100)); // Shorter than the index says.
    try (FeatureStore reopened = FeatureStore.open(folder, KIND)) {
      assertHolds(reopened, 1, 3);
      assertNull(reopened.get(key(5)));
      assertNull(reopened.get(key(9)));
      assertEquals(2, reopened.damaged());
    }
  }

  /** Killed at random moments, a store holds only whole entries, and nearly all it was given. */
  @Test
  @DisabledOnOs(OS.WINDOWS)
  void aKilledProcessLeavesOnlyWholeEntries() throws Exception {
    Random random = new Random(11);
    long first = 0;
    for (int kill = 0; kill < 6; kill++) {
      Process process = StoreProcess.start("", folder, "fill", "" + first, "1000000");
      long last = first - 1;
      try (BufferedReader out = process.inputReader()) {
        assertEquals("open", out.readLine());
        int count = 100 + random.nextInt(400);
        for (int i = 0; i < count; i++) {
          last = Long.parseLong(out.readLine());
        }
      } finally {
        process.destroyForcibly().waitFor();
      }
      try (FeatureStore store = FeatureStore.open(folder, KIND)) {
        int missing = 0;
        for (long i = 0; i <= last; i++) {
          ByteBuffer found = store.get(key(i));
          if (found == null) {
            missing++;
          } else {
            assertEquals(features(KIND, i), found, "picture " + i);
          }
        }
        assertEquals(0, store.damaged(), "no index record came before its features");
        assertTrue(missing <= 64 * (kill + 1), missing + " of " + last);
        first = last + 1;
      }
    }
  }

  /** A limit on file sizes stands in for a full disk: storing ends, reading goes on. */
  @Test
  @DisabledOnOs(OS.WINDOWS)
  void aFullDiskEndsTheStoringOnly() throws Exception {
    try (FeatureStore store = FeatureStore.open(folder, KIND)) {
      fill(store, 0, 3);
      Files.delete(store.folder().resolve("features.bf16"));
    }
    // 512-byte blocks in most shells, 1 KiB in some: less than a segment's 64 MiB either way.
    Process process = StoreProcess.start("ulimit -f 1000;", folder, "fill", "10", "5");
    String last = null;
    try (BufferedReader out = process.inputReader()) {
      for (String line = out.readLine(); line != null; line = out.readLine()) {
        last = line;
      }
    }
    assertEquals(0, process.waitFor());
    assertTrue(
        last.startsWith("3 stored, java.io.IOException: ") && last.contains("too large"), last);
  }

  @Test
  void misuseIsExplained() throws IOException {
    FeatureStore store = FeatureStore.open(folder, KIND);
    assertEquals(
        "features must have 2048 bytes, found 7",
        assertThrows(
                IllegalArgumentException.class, () -> store.put(key(0), ByteBuffer.allocate(7)))
            .getMessage());
    store.close();
    store.close();
    assertEquals(
        "this FeatureStore is closed",
        assertThrows(IllegalStateException.class, () -> store.get(key(0))).getMessage());
    assertEquals(
        "tokens and width must be positive, an entry less than 2 GiB, found 0 and 4",
        assertThrows(IllegalArgumentException.class, () -> new FeatureKind("", "", 0, 4))
            .getMessage());
  }
}
