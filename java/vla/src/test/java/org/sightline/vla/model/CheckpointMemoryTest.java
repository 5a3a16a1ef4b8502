package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;

/**
 * A model needs no more memory than its tensors while it is loaded: the process's peak resident set
 * (VmHWM, file mappings included), which Linux lets a process set back, before and after.
 */
class CheckpointMemoryTest {
  private static final Path STATUS = Path.of("/proc/self/status");

  @TempDir private Path folder;

  @Test
  void loadingABf16CheckpointTakesItsTensorsOnce() throws IOException {
    assumeTrue(Files.exists(STATUS), "peak memory is read from /proc/self/status: Linux only");
    OpenVlaConfig nano = OpenVlaConfig.nano();
    // 100,064 × 192 twice: 77 MB of 85 MB.
    OpenVlaConfig config = TinyModels.with(nano, 100_064, 64, 1e-6);
    Path model = folder.resolve("model");
    try (TensorOptions half = new TensorOptions(torch.ScalarType.BFloat16)) {
      HuggingFaceCheckpoint.write(
          model, config, spec -> torch.zeros(spec.sizes(), half), DType.BFLOAT16, 30_000_000);
    }
    load(model, 0); // what is loaded and started at the first use
    System.gc();
    long bytes = load(model, 10_000_000);
    assertTrue(bytes > 80_000_000, bytes + " bytes");
  }

  /** Loads, and checks the peak if {@code allowance} is given. */
  private static long load(Path model, long allowance) throws IOException {
    try {
      Files.writeString(Path.of("/proc/self/clear_refs"), "5");
    } catch (IOException e) {
      assumeTrue(false, "this system does not let a process set back its peak: " + e);
    }
    long before = kilobytes("VmRSS") * 1024;
    try (PointerScope scope = new PointerScope();
        HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(model);
        var loaded = new OpenVla(checkpoint.config(), checkpoint, DType.BFLOAT16, null, 0)) {
      long bytes = checkpoint.tensors().sizeInBytes();
      long grown = kilobytes("VmHWM") * 1024 - before;
      assertTrue(
          allowance == 0 || grown <= bytes + allowance,
          () -> loaded.config().preset() + ": peak grew by " + grown + " for " + bytes);
      return bytes;
    }
  }

  private static long kilobytes(String key) throws IOException {
    return Files.readAllLines(STATUS).stream()
        .filter(line -> line.startsWith(key + ":"))
        .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
        .findFirst()
        .orElseThrow();
  }
}
