package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.vla.data.EpisodeReader;
import org.sightline.vla.data.RldsDataset;
import org.sightline.vla.data.RldsKeys;
import org.sightline.vla.data.Step;
import org.sightline.vla.data.VlaBatch;
import org.sightline.vla.data.VlaBatcher;
import org.sightline.vla.model.TokenPredictions;
import org.sightline.vla.tabletop.TabletopGenerator;

/** {@code eval} and {@code act} on an adapter that {@code finetune} left. */
class PolicyCommandsTest {
  private static final String FRACTION = "--eval-fraction 0.3";

  @TempDir private static Path folder;

  private static Path data;
  private static Path adapter;
  private static Map<String, String> lastEvaluation;

  @BeforeAll
  static void finetune() throws IOException {
    data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(6, 1, 64, 3));
    Path output = folder.resolve("run");
    Cli cli =
        Cli.succeed(
            "finetune --data %s --output %s --modes default --steps 6 --evaluations 1 %s"
                .formatted(data, output, FRACTION));
    adapter = output.resolve("default");
    List<Map<String, String>> log = Cli.csv(adapter.resolve("log.csv"));
    lastEvaluation = log.get(log.size() - 1);
    assertEquals("evaluation", lastEvaluation.get("phase"));
  }

  private static JsonObject json(String arguments) {
    return Cli.run(arguments + " --json").json();
  }

  @Test
  void evalGivesWhatTrainingMeasured() {
    JsonObject measured =
        json(
            "eval --data %s --adapter %s --episodes held_out %s"
                .formatted(data, adapter, FRACTION));
    for (Map.Entry<String, String> metric :
        Map.of(
                "loss", "action_loss",
                "token_accuracy", "token_accuracy",
                "action_l1", "action_l1")
            .entrySet()) {
      double expected = Double.parseDouble(lastEvaluation.get(metric.getValue()));
      double found = measured.get(metric.getKey()).getAsDouble();
      assertEquals(expected, found, 2e-5 * Math.abs(expected), metric.getKey());
    }
    double sum = 0;
    JsonObject byDimension = measured.getAsJsonObject("action_l1_by_dimension");
    assertEquals(
        List.of("x", "y", "z", "roll", "pitch", "yaw", "gripper"),
        List.copyOf(byDimension.keySet()));
    for (String name : byDimension.keySet()) {
      sum += byDimension.get(name).getAsDouble();
    }
    assertEquals(measured.get("action_l1").getAsDouble(), sum / 7, 1e-9);
  }

  @Test
  void partsAddUpToTheWhole() {
    long steps = 0;
    double loss = 0;
    for (String part : List.of("training", "held_out")) {
      JsonObject measured =
          json(
              "eval --data %s --adapter %s --episodes %s %s"
                  .formatted(data, adapter, part, FRACTION));
      steps += measured.get("steps").getAsLong();
      loss += measured.get("loss").getAsDouble() * measured.get("steps").getAsLong();
    }
    JsonObject all = json("eval --data %s --adapter %s --batch-size 5".formatted(data, adapter));
    assertEquals(all.get("steps").getAsLong(), steps);
    assertEquals(all.get("loss").getAsDouble(), loss / steps, 1e-5);
  }

  @Test
  void evalPrintsATable() {
    Cli cli = Cli.succeed("eval --data %s --adapter %s".formatted(data, adapter));
    assertTrue(
        cli.out().lines().anyMatch(line -> line.startsWith("token accuracy  0.")), cli.out());
    assertTrue(cli.out().lines().anyMatch(line -> line.startsWith("gripper ")), cli.out());
  }

  /** The first token depends on nothing but image and prompt: evaluation must say the same. */
  @Test
  void actSaysWhatEvaluationSays() throws IOException {
    Step step = step();
    Path image = folder.resolve("image.bin");
    Files.write(image, step.image());
    JsonObject acted = act(image, step.instruction());
    assertEquals(7, acted.getAsJsonArray("action").size());

    try (LoadedPolicy policy =
            LoadedPolicy.open(
                BaseModel.of("--weights", List.of(), null),
                adapter,
                null,
                null,
                null,
                true,
                DType.FLOAT32,
                7);
        VlaBatch batch =
            new VlaBatcher(
                    policy.tokenizer(), policy.actions(), policy.statistics(), policy.images())
                .batch(List.of(step))) {
      TokenPredictions predictions = policy.model().predict(batch);
      assertEquals(
          predictions.predicted()[0], acted.getAsJsonArray("token_ids").get(0).getAsLong());
      float[] normalised = new float[7];
      for (int d = 0; d < 7; d++) {
        long id = acted.getAsJsonArray("token_ids").get(d).getAsLong();
        normalised[d] = (float) policy.actions().decode(id);
        assertEquals(
            normalised[d], acted.getAsJsonArray("normalized_action").get(d).getAsFloat(), 1e-6f);
      }
      float[] action = policy.statistics().denormalize(normalised);
      for (int d = 0; d < 7; d++) {
        assertEquals(action[d], acted.getAsJsonArray("action").get(d).getAsFloat(), 1e-6f);
      }
    }
  }

  private static JsonObject act(Path image, String instruction) {
    return Cli.of(
            "act",
            "--image",
            image.toString(),
            "--instruction",
            instruction,
            "--adapter",
            adapter.toString(),
            "--json")
        .json();
  }

  private static Step step() throws IOException {
    try (EpisodeReader reader = RldsDataset.open(data, "train", RldsKeys.BRIDGE).reader()) {
      return reader.read(0).steps().get(1);
    }
  }

  @Test
  void inputThatCannotBeUsedIsNamed() throws IOException {
    refuse("act --image none.png --instruction go", "--image: no such file or folder: none.png");
    Path text = Files.writeString(folder.resolve("text.png"), "hello");
    refuse(
        "act --image %s --instruction go --adapter %s".formatted(text, adapter),
        "--image " + text + ": ");
    refuse(
        "eval --data %s".formatted(data),
        "--statistics must name a dataset_statistics.json, found none");
    refuse(
        "eval --data %s --adapter %s --unnorm-key mars".formatted(data, adapter),
        "expected 'mars'");
    refuse(
        "eval --data %s --adapter %s --episodes held_out --eval-fraction 0"
            .formatted(data, adapter),
        "--episodes held_out: found none of 6");
    refuse(
        "eval --data %s --adapter %s --batch-size 0".formatted(data, adapter),
        "--batch-size must be at least 1, found 0");
    refuse("eval --data nowhere", "--data: no such file or folder: nowhere");
  }

  private static void refuse(String arguments, String message) {
    Cli cli = Cli.run(arguments);
    assertEquals(2, cli.exitCode(), arguments + "\n" + cli.err());
    assertTrue(cli.err().contains(message), cli.err());
  }
}
