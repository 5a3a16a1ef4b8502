package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.vla.tabletop.TabletopGenerator;

/** A rate that is far too high: no adapter, no table, and a way on. */
class DivergedRunTest {
  @TempDir private Path folder;

  @ParameterizedTest
  @CsvSource({"default, float32", "align, bfloat16"})
  void aRunThatDivergedFailsAndGoesOnWithALowerRate(String mode, String dtype) throws IOException {
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(2, 1, 64, 3));
    Path run = folder.resolve("run");
    Cli failed =
        Cli.run(
            ("finetune --data %s --output %s --modes %s --dtype %s --steps 15 --batch-size 1"
                    + " --evaluations 1 --eval-fraction 0.5 --checkpoint-interval 1 --lr 1e9")
                .formatted(data, run, mode, dtype));
    assertEquals(2, failed.exitCode(), failed.out() + failed.err());
    assertTrue(failed.err().contains("lower the learning rate (now 1.0E9)"), failed.err());
    assertTrue(failed.err().contains("(--lr, --clip, --dtype float32)"), failed.err());
    assertTrue(failed.out().contains("finetune --resume " + run + " --lr RATE"), failed.out());
    assertFalse(failed.out().contains("Held-out episodes"), failed.out());
    for (String file : new String[] {"adapter_model.safetensors", "result.json"}) {
      assertFalse(Files.exists(run.resolve(mode).resolve(file)), file);
    }
    assertFalse(Files.exists(run.resolve("report.html")));

    Cli.succeed("finetune --resume " + run + " --lr 1e-3 --clip 0.5");
    var log = Cli.csv(run.resolve(mode).resolve("log.csv"));
    Map<String, String> last = log.get(log.size() - 1);
    assertEquals("15", last.get("step"));
    assertTrue(Double.isFinite(Double.parseDouble(last.get("action_loss"))), last.toString());
    assertTrue(Files.exists(run.resolve(mode).resolve("adapter_model.safetensors")));
  }
}
