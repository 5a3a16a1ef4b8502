package org.sightline.vla.teacher.cache;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.sightline.Fuzz;
import org.sightline.FuzzTargets;

/** Spoiled files of a teacher cache. */
class CacheFuzzTest implements FuzzTargets {
  private static final FeatureKind KIND = new FeatureKind("teacher", "pixels", 2, 2);

  @Override
  public Stream<Fuzz> targets(Path parent) throws IOException {
    Path folder;
    try (FeatureStore store = FeatureStore.open(parent, KIND)) {
      folder = store.folder();
      for (int i = 0; i < 4; i++) {
        store.put(StoreProcess.key(i), StoreProcess.features(KIND, i));
      }
    }
    Path index = folder.resolve("index");
    return Stream.of(
        Fuzz.of("cache-index", index, f -> use(parent)),
        Fuzz.of(
            "cache-index-sound",
            index,
            Files.readAllBytes(index),
            CacheFuzzTest::sound,
            f -> use(parent)));
  }

  private static void use(Path parent) throws IOException {
    try (FeatureStore store = FeatureStore.open(parent, KIND)) {
      for (int i = 0; i < 5; i++) {
        store.get(StoreProcess.key(i));
      }
    }
  }

  /** Records with checksums that fit. */
  private static byte[] sound(byte[] index) {
    byte[] all = Arrays.copyOf(index, index.length / 32 * 32);
    ByteBuffer records = ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN);
    for (int at = 0; at < all.length; at += 32) {
      records.putInt(at + 28, EntryIndex.crc(ByteBuffer.wrap(all, at, 28)));
    }
    return all;
  }
}
