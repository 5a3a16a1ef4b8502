package org.sightline.vla.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.Sightline;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.train.Evaluation;
import org.sightline.train.checkpoint.Checkpointable.State;
import org.sightline.vla.cli.Cli;
import org.sightline.vla.tabletop.TabletopGenerator;

/** The adapter of the lowest held-out loss, beside the last one. */
class BestAdapterTest {
  @TempDir private Path folder;

  private static Evaluation evaluation(int step, double loss) {
    return new Evaluation(step, 1, loss, OptionalDouble.empty(), Map.of(), Map.of(), 0);
  }

  /** Writes the number of its calls; a file without tensors stands for configurations. */
  private static final class Counting implements BestAdapter.Writer {
    int calls;

    @Override
    public void write(Path folder) throws IOException {
      Files.createDirectories(folder);
      Files.writeString(folder.resolve("config.json"), "{}");
      try (PointerScope scope = new PointerScope()) {
        Tensor count = torch.ones(2).mul(new Scalar((double) ++calls));
        for (String file : List.of("adapter.safetensors", "projector.safetensors")) {
          Safetensors.write(folder.resolve(file), Map.of("a.b/c", count), Map.of("format", "pt"));
        }
      }
    }
  }

  /** A worse, an equal and a NaN evaluation change nothing. */
  @Test
  void onlyALowerLossIsBetter() throws IOException {
    Sightline.load();
    Counting writer = new Counting();
    BestAdapter best = new BestAdapter(folder.resolve("best"), writer);
    int[] calls = new int[5];
    double[] losses = {3, Double.NaN, 3, 2.5, 2.75};
    for (int i = 0; i < losses.length; i++) {
      best.evaluation(evaluation(i, losses[i]));
      calls[i] = writer.calls;
    }
    assertArrayEquals(new int[] {1, 1, 1, 2, 2}, calls);
  }

  /** A run goes on from a checkpoint behind its best, and never gets as good again. */
  @Test
  void aCheckpointBringsBackWhatWasBestThen() throws IOException {
    Sightline.load();
    Counting writer = new Counting();
    Path kept = folder.resolve("best");
    BestAdapter best = new BestAdapter(kept, writer);
    try (PointerScope scope = new PointerScope()) {
      State none = best.state();
      assertTrue(none.tensors().isEmpty());
      best.evaluation(evaluation(1, 3));
      byte[] adapter = Files.readAllBytes(kept.resolve("adapter.safetensors"));
      State state = best.state();
      best.evaluation(evaluation(2, 1));
      assertFalse(Arrays.equals(adapter, Files.readAllBytes(kept.resolve("adapter.safetensors"))));

      BestAdapter resumed = new BestAdapter(kept, writer);
      resumed.restore(state);
      resumed.evaluation(evaluation(2, 3.5));
      for (String file : List.of("adapter.safetensors", "projector.safetensors")) {
        assertArrayEquals(adapter, Files.readAllBytes(kept.resolve(file)), file);
      }
      int calls = writer.calls;
      new BestAdapter(kept, writer).restore(none);
      assertEquals(calls, writer.calls);
    }
  }

  /** At this rate held-out loss rises: best and last are not the same. */
  @Test
  void theCommandsTakeEither() throws IOException {
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(3, 1, 64, 3));
    Path run = folder.resolve("run");
    Cli cli =
        Cli.succeed(
            ("finetune --data %s --output %s --modes align --train-projector --steps 8"
                    + " --batch-size 2 --evaluations 4 --eval-fraction 0.4 --lr 0.05")
                .formatted(data, run));
    List<Map<String, String>> evaluations =
        Cli.csv(run.resolve("align/log.csv")).stream()
            .filter(row -> row.get("phase").equals("evaluation"))
            .toList();
    Map<String, String> lowest = evaluations.get(0);
    for (Map<String, String> row : evaluations) {
      if (loss(row) < loss(lowest)) {
        lowest = row;
      }
    }
    Map<String, String> last = evaluations.get(evaluations.size() - 1);
    String said =
        String.format(java.util.Locale.ROOT, "%.3f at step %s", loss(lowest), lowest.get("step"));
    assertTrue(cli.out().contains(said), cli.out());
    assertTrue(Files.readString(run.resolve("report.html")).contains("in best/"));
    assertTrue(Files.exists(run.resolve("align/best/alignment_projector.safetensors")));
    for (String adapter : List.of("align", "align/best")) {
      double measured =
          Cli.run("eval --json --data %s --adapter %s".formatted(data, run.resolve(adapter)))
              .json()
              .get("loss")
              .getAsDouble();
      double expected = loss(adapter.equals("align") ? last : lowest);
      assertEquals(expected, measured, 2e-5 * expected, adapter);
    }
    Path merged = folder.resolve("merged");
    Cli.succeed("export --adapter %s --output %s".formatted(run.resolve("align/best"), merged));
    assertTrue(Files.exists(merged.resolve("dataset_statistics.json")));
  }

  private static double loss(Map<String, String> row) {
    return Double.parseDouble(row.get("action_loss"));
  }
}
