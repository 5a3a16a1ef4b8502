package org.sightline.formats.file;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.FutureTask;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.safetensors.Safetensors;

class SharedFileTest {
  private static final int SIZE = 200_001;
  private static final int ROUNDS = 200;

  @TempDir Path folder;

  /** A reader and a writer are interrupted all the time, another reader is not. */
  @Test
  void interruptsCostNobodyABit() throws Exception {
    byte[] bytes = new byte[SIZE];
    new Random(3).nextBytes(bytes);
    Path file = folder.resolve("file");
    Files.write(file, bytes);
    try (SharedFile shared = SharedFile.toWrite(file)) {
      FutureTask<Integer> reader = new FutureTask<>(() -> read(shared, bytes, 1));
      FutureTask<Integer> writer = new FutureTask<>(() -> write(shared, bytes));
      FutureTask<Integer> bystander = new FutureTask<>(() -> read(shared, bytes, 2));
      Thread first = new Thread(reader);
      Thread second = new Thread(writer);
      first.start();
      second.start();
      new Thread(bystander).start();
      while (first.isAlive() || second.isAlive()) {
        first.interrupt();
        second.interrupt();
        Thread.yield();
      }
      assertTrue(reader.get() > 0 && writer.get() > 0, "no interrupt was seen");
      assertEquals(0, bystander.get());
      assertEquals(2 * SIZE, shared.size());
    }
  }

  /** In how many rounds it was interrupted. */
  private static int read(SharedFile shared, byte[] bytes, int seed) throws IOException {
    Random random = new Random(seed);
    int interrupts = 0;
    for (int i = 0; i < ROUNDS; i++) {
      int at = random.nextInt(SIZE);
      int length = 1 + random.nextInt(SIZE - at);
      ByteBuffer expected = ByteBuffer.wrap(bytes, at, length);
      ByteBuffer read =
          i % 2 == 0 ? ByteBuffer.allocate(length) : ByteBuffer.allocateDirect(length);
      shared.read(read, at);
      assertEquals(expected, read.flip());
      assertEquals(expected, shared.map(at, length));
      interrupts += Thread.interrupted() ? 1 : 0;
    }
    return interrupts;
  }

  private static int write(SharedFile shared, byte[] bytes) throws IOException {
    int interrupts = 0;
    for (int i = 0; i < ROUNDS; i++) {
      shared.write(ByteBuffer.wrap(bytes), SIZE);
      shared.force();
      interrupts += Thread.interrupted() ? 1 : 0;
    }
    return interrupts;
  }

  @Test
  void anInterruptedThreadLeavesSafetensorsToOthers() throws Exception {
    Path file = folder.resolve("model.safetensors");
    try (Tensor a = torch.arange(new Scalar(5))) {
      Safetensors.write(file, Map.of("a", a), Map.of());
    }
    try (Safetensors shared = Safetensors.open(file)) {
      Callable<Integer> sums =
          () -> {
            try (Tensor copy = shared.tensor("a");
                Tensor view = shared.view("a");
                Tensor sum = copy.add(view).sum()) {
              return sum.item_int();
            }
          };
      Thread.currentThread().interrupt();
      assertEquals(20, sums.call());
      assertTrue(Thread.interrupted(), "the flag is the caller's");
      assertEquals(20, sums.call());
    }
  }

  @Test
  void whatCannotBeReadIsNamed() throws IOException {
    Path missing = folder.resolve("missing");
    assertEquals(
        missing.toString(),
        assertThrows(NoSuchFileException.class, () -> SharedFile.toRead(missing)).getMessage());
    Path file = Files.write(folder.resolve("short"), new byte[3]);
    try (SharedFile shared = SharedFile.toRead(file)) {
      ByteBuffer read = ByteBuffer.allocate(5);
      shared.read(read, 1);
      assertEquals(3, read.remaining(), "where the file ends");
      assertThrows(IOException.class, () -> shared.map(1L << 62, 5));
    }
  }
}
