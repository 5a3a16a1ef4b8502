package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

class MemoryTest {
  private static final int STEPS = 1_000;

  /** What a step leaves behind is counted, not seen in the size of the process. */
  @Test
  void stepsLeaveNothingBehind() throws InterruptedException {
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
                    projector.parameters().get("net.1.weight")),
                AdamW.Config.defaults())) {
      Tensor x = torch.randn(1, 256, 16);
      Tensor t = torch.randn(1, 100, 8);
      long bytes = 0;
      long objects = 0;
      try (TensorBytes tensors = new TensorBytes()) {
        for (int step = 0; step < STEPS; step++) {
          if (step == 10) { // Gradients and the optimizer's states are there.
            bytes = tensors.live();
            objects = Pointer.totalCount();
          }
          try (PointerScope inner = new PointerScope()) {
            List<Tensor> y = LoraLinear.forward(x, List.of(q, k));
            Tensor h = y.get(0).mul(y.get(1));
            alignment.forward(h, 1, t).loss().backward();
            adamw.step();
          }
        }
        assertEquals(bytes, tensors.live());
      }
      // Freed objects count until they are collected.
      for (int i = 0; i < 500 && Pointer.totalCount() - objects >= STEPS / 10; i++) {
        System.gc();
        Thread.sleep(20);
      }
      long left = Pointer.totalCount() - objects;
      assertTrue(left < STEPS / 10, () -> left + " native objects were left behind");
    }
  }
}
