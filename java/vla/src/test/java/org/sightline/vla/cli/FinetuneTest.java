package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.PeftAdapter;
import org.sightline.vla.data.SharedData;
import org.sightline.vla.tabletop.TabletopGenerator;

/** The main job, in short, through the command line. */
class FinetuneTest {
  @TempDir private Path folder;

  @Test
  void alignmentOnRealEpisodesLowersTheLossAndRaisesTheCosine() throws IOException {
    Path data = SharedData.bridge();
    Cli cli =
        Cli.succeed(
            "finetune --data %s --output %s --modes align --steps 40 --lambda 1 --evaluations 1"
                .formatted(data, folder));

    List<Map<String, String>> log = Cli.csv(folder.resolve("align/log.csv"));
    List<Map<String, String>> training =
        log.stream().filter(row -> row.get("phase").equals("train")).toList();
    assertEquals(40, training.size());
    double firstLoss = mean(training.subList(0, 5), "action_loss");
    double lastLoss = mean(training.subList(35, 40), "action_loss");
    assertTrue(lastLoss < firstLoss - 1, "action loss " + firstLoss + " → " + lastLoss);
    double firstCosine = mean(training.subList(0, 5), "cosine_2");
    double lastCosine = mean(training.subList(35, 40), "cosine_2");
    assertTrue(lastCosine > firstCosine + 0.1, "cosine " + firstCosine + " → " + lastCosine);

    assertTrue(cli.out().contains("random (seed 7), not pretrained"), cli.out());
    assertTrue(cli.out().contains("action loss"), cli.out());
  }

  @Test
  void embeddedDataIsRenderedAndBothModesLeaveTheirFiles() throws IOException {
    Cli cli = Cli.succeed("finetune --output %s --steps 4 --evaluations 1".formatted(folder));
    for (String mode : List.of("default", "align")) {
      Path run = folder.resolve(mode);
      try (PeftAdapter adapter = PeftAdapter.read(run)) {
        assertEquals(71, adapter.adapters().size());
        assertEquals(32, adapter.config().lora().rank());
      }
      assertTrue(Files.size(run.resolve("dataset_statistics.json")) > 100);
      assertEquals(
          4,
          Cli.csv(run.resolve("log.csv")).stream()
              .filter(row -> row.get("phase").equals("train"))
              .count());
      assertTrue(cli.out().lines().anyMatch(line -> line.startsWith(mode + " ")), cli.out());
    }
    assertTrue(ImageIO.read(folder.resolve("plot.png").toFile()).getWidth() > 1000);
  }

  @Test
  void theSameSeedGivesTheSameAdapterBytes() throws IOException {
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(4, 1, 64, 3));
    byte[][] adapters = new byte[2][];
    for (int run = 0; run < 2; run++) {
      Path output = folder.resolve("run" + run);
      Cli cli =
          Cli.succeed(
              "finetune --output %s --modes align --steps 2 --evaluations 1".formatted(output));
      adapters[run] = Files.readAllBytes(output.resolve("align/adapter_model.safetensors"));
    }
    assertTrue(Arrays.equals(adapters[0], adapters[1]), "adapter bytes differ");
  }

  private static double mean(List<Map<String, String>> rows, String column) {
    return rows.stream()
        .mapToDouble(row -> Double.parseDouble(row.get(column)))
        .average()
        .orElseThrow();
  }
}
