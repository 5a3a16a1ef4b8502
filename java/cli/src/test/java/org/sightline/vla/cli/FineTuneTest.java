package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Set;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.vla.data.SharedData;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.EpisodeSplit;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.finetune.ExampleFrames;
import org.sightline.vla.tabletop.TabletopGenerator;

/** The main job, in short, through the command line. */
class FineTuneTest {
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
    assertFrames(folder);
    theReadmesNextCommandsWork();
  }

  /** Frames of both sides of the split, with the data's actions and those of {@code act}. */
  private static void assertFrames(Path run) throws IOException {
    RldsDataset data = RldsDataset.open(run.resolve("data"));
    EpisodeSplit split = EpisodeSplit.of(data.size(), 0.15, 7);
    List<ExampleFrames.Frame> frames = ExampleFrames.read(run.resolve("align"));
    assertEquals(8, frames.size());
    for (ExampleFrames.Frame frame : frames) {
      int[] side = frame.heldOut() ? split.eval() : split.train();
      assertTrue(Arrays.stream(side).anyMatch(each -> each == frame.episode()), "" + frame);
    }
    assertEquals(4, frames.stream().filter(ExampleFrames.Frame::heldOut).count());
    ExampleFrames.Frame frame =
        frames.stream()
            .filter(each -> !Set.of(ExampleFrames.NO_ACTION).containsAll(each.predicted()))
            .findFirst()
            .orElseThrow();
    Step step;
    try (EpisodeReader reader = data.reader()) {
      step = reader.read(frame.episode()).steps().get(frame.step());
    }
    assertEquals(step.instruction(), frame.instruction());
    RgbImage small = ImageCodec.decode(Base64.getDecoder().decode(frame.jpeg()));
    assertEquals(128, small.width());
    Path image = Files.write(run.resolve("frame"), step.image());
    JsonArray action =
        Cli.of(
                "act",
                "--adapter=" + run.resolve("align"),
                "--image=" + image,
                "--instruction=" + step.instruction(),
                "--json")
            .json()
            .getAsJsonArray("action");
    for (int d = 0; d < Step.ACTION_SIZE; d++) {
      assertRounded(step.action()[d], frame.recorded().get(d));
      String predicted = frame.predicted().get(d);
      if (!predicted.equals(ExampleFrames.NO_ACTION)) {
        assertRounded(action.get(d).getAsDouble(), predicted);
      }
    }
  }

  private static void assertRounded(double expected, String text) {
    BigDecimal found = new BigDecimal(text);
    assertEquals(expected, found.doubleValue(), 0.501 * found.ulp().doubleValue());
  }

  /** Those about the demo's run, as they are written but for its place. */
  private void theReadmesNextCommandsWork() throws IOException {
    String command = "java -jar java/cli/target/sightline.jar ";
    List<String> next =
        Files.readAllLines(Path.of("../../README.md")).stream()
            .filter(line -> line.startsWith(command) && line.contains(" runs/finetune"))
            .toList();
    for (String expected : List.of("export", "eval", "inspect")) {
      assertTrue(next.stream().anyMatch(line -> line.startsWith(command + expected)), expected);
    }
    for (String line : next) {
      String arguments = line.substring(command.length());
      Cli.succeed(
          arguments
              .replace(" runs/finetune", " " + folder)
              .replace(" runs/", " " + folder + "/next-"));
    }
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
              "finetune --json --output %s --modes align --steps 2 --evaluations 1"
                  .formatted(output));
      assertEquals(Cli.run("inspect --json " + output).json(), cli.json());
      assertTrue(cli.err().contains("action loss"), cli.err());
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
