package org.sightline;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

class MemoryTest {
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final int STEPS = 20_000;
  private static final int SAMPLE_EVERY = 1_000;

  /** Resident memory of this process without the Java heap, in KiB. */
  private static long resident() throws IOException {
    System.gc();
    try (var lines = Files.lines(STATUS)) {
      String line = lines.filter(l -> l.startsWith("VmRSS:")).findFirst().orElseThrow();
      return Long.parseLong(line.replaceAll("[^0-9]", ""))
          - Runtime.getRuntime().totalMemory() / 1024;
    }
  }

  /** Objects JavaCPP still has to free; those already freed count until they are collected. */
  private static long nativeObjects() throws InterruptedException {
    System.gc();
    Thread.sleep(200);
    return Pointer.totalCount();
  }

  @Test
  void twentyThousandStepsLeaveItFlat() throws IOException, InterruptedException {
    assumeTrue(Files.isReadable(STATUS), "resident memory is read from /proc");
    Sightline.load();
    try (PointerScope scope = new PointerScope();
        AlignmentProjector projector =
            new AlignmentProjector(new ProjectorConfig(16, 16, 8, true, 0.1, DType.FLOAT32, 1));
        AlignmentLoss alignment = new AlignmentLoss(projector);
        LoraLinear q =
            new LoraLinear(torch.randn(16, 16), null, LoraConfig.of(4, 8), DType.FLOAT32, 1);
        LoraLinear k =
            new LoraLinear(torch.randn(16, 16), null, LoraConfig.of(4, 8), DType.BFLOAT16, 2);
        AdamW adamw =
            new AdamW(
                List.of(
                    q.loraA(),
                    q.loraB(),
                    k.loraA(),
                    k.loraB(),
                    projector.parameter("net.1.weight")),
                AdamW.Config.defaults())) {
      // 16 KiB a tensor: one forgotten in every step would add 160 MB from half to half.
      Tensor x = torch.randn(1, 256, 16);
      Tensor t = torch.randn(1, 100, 8);
      long[] samples = new long[STEPS / SAMPLE_EVERY];
      long pointers = 0;
      for (int step = 0; step < STEPS; step++) {
        if (step % SAMPLE_EVERY == 0) {
          samples[step / SAMPLE_EVERY] = resident();
        }
        if (step == STEPS / 2) {
          pointers = nativeObjects();
        }
        try (PointerScope inner = new PointerScope()) {
          List<Tensor> y = LoraLinear.forward(x, List.of(q, k));
          Tensor h = y.get(0).mul(y.get(1));
          alignment.forward(h, 1, t).loss().backward();
          adamw.step();
        }
      }
      // malloc keeps and returns tens of megabytes as it likes; a leak lifts the lowest samples.
      long early = Arrays.stream(samples, 1, samples.length / 2).min().getAsLong();
      long late = Arrays.stream(samples, samples.length / 2, samples.length).min().getAsLong();
      assertTrue(
          late - early < 48 * 1024,
          () ->
              "resident memory grew: KiB every "
                  + SAMPLE_EVERY
                  + " steps "
                  + Arrays.toString(samples));
      long left = nativeObjects() - pointers;
      assertTrue(left < 100, () -> left + " native objects were left behind");
    }
  }
}
