package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.data.loader.VlaBatcher;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.RldsKeys;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.HuggingFacePromptTokenizer;
import org.sightline.vla.finetune.RunFile;
import org.sightline.vla.model.ModelSpec;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.TokenPredictions;
import org.sightline.vla.model.Weights;
import org.sightline.vla.policy.Policy;
import org.sightline.vla.tabletop.TabletopGenerator;

/** {@code eval} and {@code act} on an adapter that {@code finetune} left. */
class PolicyCommandsTest {
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
            ("finetune --data %s --output %s --modes default --steps 6 --evaluations 1"
                    + " --eval-fraction 0.3 --seed 3 --no-augment")
                .formatted(data, output));
    adapter = output.resolve("default");
    List<Map<String, String>> log = Cli.csv(adapter.resolve("log.csv"));
    lastEvaluation = log.get(log.size() - 1);
    assertEquals("evaluation", lastEvaluation.get("phase"));
  }

  private static JsonObject json(String arguments) {
    return Cli.run(arguments + " --json").json();
  }

  /** Base, division and crop are not the defaults: the run's must have been taken. */
  @Test
  void evalGivesWhatTrainingMeasured() {
    JsonObject measured =
        json("eval --data %s --adapter %s --episodes held_out".formatted(data, adapter));
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

  /** Nothing was given to start from: the run's own base stands in for it, in every command. */
  @Test
  void theDrawnBaseIsAModelAsHuggingFaceHasThem() throws IOException {
    Path base = adapter.resolveSibling("base");
    try (HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(base);
        var tokenizer = HuggingFacePromptTokenizer.open(base)) {
      checkpoint.requireTokenizer(tokenizer, base);
      assertEquals(OpenVlaConfig.nano(), checkpoint.config());
      for (ParameterSpec parameter : ModelSpec.of(OpenVlaConfig.nano()).parameters()) {
        Tensor drawn = Weights.random(OpenVlaConfig.nano(), 3).get(parameter);
        assertTrue(drawn.equal(checkpoint.get(parameter)), parameter.name());
      }
    }
    JsonObject tokens =
        JsonParser.parseString(Files.readString(base.resolve("tokenizer_config.json")))
            .getAsJsonObject();
    assertEquals("<pad>", tokens.get("pad_token").getAsString());
    assertTrue(Files.exists(base.resolve("preprocessor_config.json")));

    // Out of the run, the adapter still knows its base.
    Path alone = folder.resolve("alone");
    copy(adapter, alone);
    Path merged = folder.resolve("merged");
    Cli.succeed("export --adapter %s --output %s".formatted(alone, merged));
    String part = "eval --data " + data + " --episodes all --no-center-crop ";
    double loss = json(part + "--adapter " + adapter).get("loss").getAsDouble();
    assertEquals(loss, json(part + "--adapter " + alone).get("loss").getAsDouble());
    assertEquals(loss, json(part + "--weights " + merged).get("loss").getAsDouble(), 1e-5 * loss);
  }

  @Test
  void partsAddUpToTheWhole() {
    long steps = 0;
    double loss = 0;
    for (String part : List.of("training", "held_out")) {
      JsonObject measured =
          json("eval --data %s --adapter %s --episodes %s".formatted(data, adapter, part));
      steps += measured.get("steps").getAsLong();
      loss += measured.get("loss").getAsDouble() * measured.get("steps").getAsLong();
    }
    JsonObject all =
        json("eval --data %s --adapter %s --batch-size 5 --episodes all".formatted(data, adapter));
    assertEquals(all.get("steps").getAsLong(), steps);
    assertEquals(all.get("loss").getAsDouble(), loss / steps, 1e-5);
  }

  /** Training episodes would make a policy look better than it is. */
  @Test
  void ofTheRunsOwnDataOnlyWhatItHeldOutCountsUnlessToldOtherwise() throws IOException {
    String eval = "eval --adapter " + adapter + " --data ";
    JsonObject own = json(eval + data);
    assertEquals("held_out", own.get("counted").getAsString());
    assertEquals(json(eval + data + " --episodes held_out"), own);
    assertEquals(2, own.get("episodes").getAsInt());
    assertEquals(6, own.get("usable_episodes").getAsInt());
    String first = "sightline_tabletop, split train: %s, %d steps";
    assertEquals(
        first.formatted("2 of 6 episodes (held out)", own.get("steps").getAsInt()),
        Cli.succeed(eval + data).out().lines().findFirst().orElseThrow());
    JsonObject all = json(eval + data + " --episodes all");
    assertEquals("all", all.get("counted").getAsString());
    assertEquals(
        first.formatted("6 of 6 episodes (all)", all.get("steps").getAsInt()),
        Cli.succeed(eval + data + " --episodes all").out().lines().findFirst().orElseThrow());

    Path other = folder.resolve("other");
    TabletopGenerator.generate(other, new TabletopGenerator.Options(5, 1, 64, 4));
    assertEquals("all", json(eval + "new_table@" + other).get("counted").getAsString());
    Cli changed = Cli.run(eval + other);
    assertEquals(2, changed.exitCode());
    assertTrue(
        changed.err().contains("--episodes must be all for " + other + ": the run"), changed.err());
    assertEquals("all", json(eval + other + " --episodes all").get("counted").getAsString());
    Cli share = Cli.run(eval + data + "=2");
    assertEquals(2, share.exitCode());
    assertTrue(share.err().contains("--data must be one folder without a share"), share.err());
  }

  @Test
  void inspectShowsTheRun() throws IOException {
    Path run = adapter.getParent();
    JsonObject shown = json("inspect " + run);
    assertEquals("run", shown.get("kind").getAsString());
    assertEquals(
        run.resolve("base").toString(),
        shown.get("base_model").getAsJsonArray().get(0).getAsString());
    assertEquals(RunFile.read(run).get("options"), shown.get("settings"));
    assertEquals(RunFile.read(run).get("started"), shown.get("started"));
    JsonObject mode = shown.getAsJsonArray("modes").get(0).getAsJsonObject();
    assertEquals("completed", mode.get("end").getAsString());
    assertEquals(6, mode.get("steps").getAsInt());
    assertEquals("[6]", mode.get("checkpoints").toString());
    assertEquals(adapter.toString(), mode.get("adapter").getAsString());
    assertEquals(6, mode.get("last_step").getAsInt());
    assertEquals(6, mode.get("best_step").getAsInt());
    String loss = lastEvaluation.get("action_loss");
    assertEquals(Double.parseDouble(loss), mode.get("last_action_loss").getAsDouble());
    String text = Cli.succeed("inspect " + run).out();
    assertTrue(text.lines().anyMatch(line -> line.matches("default +completed +6 +6 .*")), text);
    assertTrue(text.contains(" eval-fraction: 0.3"), text);
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

    try (Policy policy =
            Policy.builder().adapter(adapter).centerCrop(false).dtype(DType.FLOAT32).load();
        VlaBatch batch =
            new VlaBatcher(
                    policy.tokenizer(), policy.actions(), policy.statistics(), policy.images())
                .batch(List.of(step))) {
      TokenPredictions predictions = policy.model().predict(batch);
      assertEquals(
          predictions.predicted()[0], acted.getAsJsonArray("token_ids").get(0).getAsLong());
      float[] normalised = new float[7];
      int unsaid = 0;
      for (int d = 0; d < 7; d++) {
        long id = acted.getAsJsonArray("token_ids").get(d).getAsLong();
        unsaid += policy.actions().isAction(id) ? 0 : 1;
        normalised[d] = (float) policy.actions().decode(id);
        assertEquals(
            normalised[d], acted.getAsJsonArray("normalized_action").get(d).getAsFloat(), 1e-6f);
      }
      assertEquals(unsaid, acted.get("no_action_tokens").getAsInt());
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
        "sightline: " + text + ": ");
    refuse("eval --data %s".formatted(data), "--weights must name the base model");
    refuse(
        "eval --data %s --weights %s".formatted(data, adapter.resolveSibling("base")),
        "--statistics must name a dataset_statistics.json, found none");
    refuse(
        "eval --data %s --adapter %s --unnorm-key mars".formatted(data, adapter),
        "expected 'mars'");
    Path statistics = adapter.resolve("dataset_statistics.json");
    refuse(
        "eval --data %s --statistics %s --episodes held_out --eval-fraction 0"
            .formatted(data, statistics),
        "--episodes held_out: found none of 6");
    Path file = adapter.resolveSibling("run.json").toRealPath();
    for (String contradiction :
        List.of("--split-seed 7", "--eval-fraction 0.15", "--weights " + adapter)) {
      String option = contradiction.split(" ")[0];
      Cli cli = Cli.run("eval --data %s --adapter %s %s".formatted(data, adapter, contradiction));
      assertEquals(2, cli.exitCode(), cli.err());
      assertTrue(cli.err().startsWith("sightline: " + option + " must be "), cli.err());
      assertTrue(cli.err().contains(" (" + file + "), found "), cli.err());
    }
    refuse(
        "act --image %s --instruction go --adapter %s".formatted(text, adapter.getParent()),
        "; did you mean " + adapter + "?");
    refuse(
        "eval --data %s --adapter %s --batch-size 0".formatted(data, adapter),
        "--batch-size must be at least 1, found 0");
    refuse("eval --data nowhere", "--data: no such file or folder: nowhere");
  }

  /** Whatever JSON a command reads, the user is told the place in it, not our classes. */
  @Test
  void malformedJsonIsLocatedWhateverReadsIt() throws IOException {
    Path broken = folder.resolve("broken");
    for (String file : List.of("data/dataset_info.json", "data/features.json")) {
      copy(data, broken.resolve("data"));
      damage(broken.resolve(file));
      for (String command : List.of("eval --data %s --adapter " + adapter, "inspect %s")) {
        refuseAt(broken.resolve(file), command.formatted(broken.resolve("data")));
      }
      refuseAt(
          broken.resolve(file),
          "finetune --output %s --data %s"
              .formatted(broken.resolve("out"), broken.resolve("data")));
      assertFalse(Files.exists(broken.resolve("out")));
    }
    for (String file : List.of("adapter_config.json", "dataset_statistics.json", "../run.json")) {
      Path copy = broken.resolve("run/default");
      copy(adapter, copy);
      copy(adapter.resolveSibling("base"), copy.resolveSibling("base"));
      Files.copy(
          adapter.resolveSibling("run.json"),
          copy.resolveSibling("run.json"),
          StandardCopyOption.REPLACE_EXISTING);
      Path damaged = copy.resolve(file).normalize();
      damage(damaged);
      refuseAt(damaged.toRealPath(), "eval --data %s --adapter %s".formatted(data, copy));
    }
  }

  private static void copy(Path from, Path to) throws IOException {
    Files.createDirectories(to);
    try (Stream<Path> files = Files.list(from)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Files.copy(file, to.resolve(file.getFileName()), StandardCopyOption.REPLACE_EXISTING);
      }
    }
  }

  /** A comma is lost at the end of a line. */
  private static void damage(Path json) throws IOException {
    Files.writeString(json, Files.readString(json).replaceFirst(",(\\s*\n)", "$1"));
  }

  private static void refuseAt(Path file, String arguments) {
    refuse(arguments, file + ": line ");
    String error = Cli.run(arguments).err();
    assertTrue(error.contains(", expected comma to separate "), error);
    assertFalse(error.matches("(?s).*(Exception|jackson|gson|java\\.).*"), error);
  }

  private static void refuse(String arguments, String message) {
    Cli cli = Cli.run(arguments);
    assertEquals(2, cli.exitCode(), arguments + "\n" + cli.err());
    assertTrue(cli.err().contains(message), cli.err());
  }
}
