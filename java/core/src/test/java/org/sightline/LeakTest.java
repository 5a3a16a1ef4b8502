package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.File;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.peft.LoraPair;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;
import org.sightline.formats.safetensors.Safetensors;

/** What is made and closed again and again leaves no tensor's bytes and no open file. */
class LeakTest {
  private static final int TIMES = 2_000;

  @TempDir private Path folder;

  private interface Loop {
    void run() throws Exception;
  }

  @BeforeAll
  static void load() {
    Sightline.load();
  }

  private static void leavesNothing(Loop loop) throws Exception {
    try (TensorBytes tensors = new TensorBytes()) {
      loop.run(); // What is made once.
      long bytes = tensors.live();
      int files = openFiles();
      for (int i = 0; i < TIMES; i++) {
        loop.run();
      }
      assertEquals(bytes, tensors.live());
      assertEquals(files, openFiles());
    }
  }

  /** Zero where there is no such folder. */
  private static int openFiles() {
    String[] files = new File("/proc/self/fd").list();
    return files == null ? 0 : files.length;
  }

  @Test
  void layersAndProjectors() throws Exception {
    leavesNothing(
        () -> {
          try (PointerScope scope = new PointerScope();
              AlignmentProjector projector = new AlignmentProjector(ProjectorConfig.of(5, 4, 3));
              AlignmentLoss loss = new AlignmentLoss(projector);
              LoraLinear layer =
                  new LoraLinear(torch.randn(5, 6), null, LoraConfig.of(2, 2), DType.FLOAT32, 1)) {
            loss.forward(layer.forward(torch.randn(2, 4, 6)), 0, torch.randn(2, 4, 3))
                .loss()
                .backward();
            assertThrows(IllegalArgumentException.class, () -> layer.forward(torch.randn(2, 5)));
          }
        });
  }

  @Test
  void files() throws Exception {
    Path file = folder.resolve("a.safetensors");
    Path adapter = folder.resolve("adapter");
    try (PointerScope scope = new PointerScope()) {
      Safetensors.write(file, Map.of("a", torch.randn(100)), Map.of());
      LoraPair pair = new LoraPair(torch.randn(2, 3), torch.randn(4, 2));
      PeftConfig config = PeftConfig.of(LoraConfig.of(2, 4), List.of("q"));
      new PeftAdapter(config, Map.of("model.q", pair)).write(adapter);
    }
    leavesNothing(
        () -> {
          try (PointerScope scope = new PointerScope();
              Safetensors open = Safetensors.open(file)) {
            open.tensor("a");
            open.view("a");
            assertThrows(IllegalArgumentException.class, () -> open.tensor("b"));
          }
          PeftAdapter.read(adapter).close();
        });
  }
}
