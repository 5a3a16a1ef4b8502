package org.sightline.formats.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.Sightline;

class TensorDigestTest {
  private static final int LARGE = 3 << 20; // Bytes, of which a third are looked at.

  @TempDir private Path folder;

  @BeforeAll
  static void load() {
    Sightline.load();
  }

  private static String digest(Path path) throws IOException {
    try (ShardedSafetensors files = ShardedSafetensors.open(path)) {
      return TensorDigest.of(files.shards());
    }
  }

  private Path write(Path file, Map<String, Tensor> tensors) throws IOException {
    Safetensors.write(file, tensors, Map.of("format", "pt"));
    return file;
  }

  @Test
  void tellsNamesShapesAndValuesApartButNotFiles() throws IOException {
    try (PointerScope scope = new PointerScope()) {
      Tensor a = torch.arange(new org.bytedeco.pytorch.Scalar(6)).to(torch.ScalarType.Float);
      Tensor b = torch.ones(2);
      String both = digest(write(folder.resolve("x.safetensors"), Map.of("a", a, "b", b)));
      Path sharded = Files.createDirectory(folder.resolve("sharded"));
      write(sharded.resolve("1.safetensors"), Map.of("a", a));
      write(sharded.resolve("2.safetensors"), Map.of("b", b));
      Files.writeString(
          sharded.resolve("model.safetensors.index.json"),
          "{\"metadata\":{},\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}");
      assertEquals(both, digest(sharded));
      for (Map<String, Tensor> other :
          Map.of(
                  "name", Map.of("a", a, "c", b),
                  "shape", Map.of("a", a.reshape(2, 3), "b", b),
                  "value", Map.of("a", a, "b", torch.zeros(2)),
                  "type", Map.of("a", a.view(torch.ScalarType.Int), "b", b),
                  "missing", Map.of("a", a))
              .values()) {
        assertNotEquals(both, digest(write(folder.resolve("y.safetensors"), other)));
      }
    }
  }

  /** Ends and places between; bytes at other places would cost reading all of them. */
  @Test
  void aLargeTensorIsLookedAtFromEndToEnd() throws IOException {
    Path file = folder.resolve("z.safetensors");
    try (PointerScope scope = new PointerScope()) {
      write(file, Map.of("a", torch.zeros(LARGE / 4), "b", torch.ones(1)));
    }
    long data = Files.size(file) - 4 - LARGE;
    String before = digest(file);
    for (long offset : new long[] {0, (LARGE - (1 << 17)) / 7, LARGE - 1, LARGE + 3}) {
      try (RandomAccessFile bytes = new RandomAccessFile(file.toFile(), "rw")) {
        bytes.seek(data + offset);
        int value = bytes.read();
        bytes.seek(data + offset);
        bytes.write(value ^ 1);
        assertNotEquals(before, digest(file), "byte " + offset);
        bytes.seek(data + offset);
        bytes.write(value);
      }
    }
    assertEquals(before, digest(file));
  }
}
