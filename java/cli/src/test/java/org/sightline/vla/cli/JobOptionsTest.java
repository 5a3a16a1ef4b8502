package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.vla.finetune.JobConfig;
import org.sightline.vla.finetune.RunFile;
import picocli.CommandLine;

/** One description of a run: options, configuration, run.json and schema say the same. */
class JobOptionsTest {
  /** Every setting as it is not by default; DIR is something that is there. */
  private static final String ALL =
      "--output DIR/out --data one@DIR=2 --camera wrist --no-augment --augmentations-per-image 3"
          + " --data-threads 2 --shuffle-buffer 9 --skip-corrupt --keep-unlabelled"
          + " --eval-fraction 0.25 --modes freeze --preset mid --tokenizer DIR --teacher DIR"
          + " --teacher-preset dinov2_vitl14 --teacher-cache DIR/cache --device cuda:1 --dtype bfloat16 --seed 8"
          + " --lambda 0.5 --layers 1,2 --layer-reduction mean --teacher-norm spatial --projector-init fitted:4 --projector-size 64"
          + " --train-projector --projector-dropout 0.1 --rank 4 --alpha 8 --dropout 0.05 --steps 9"
          + " --batch-size 2 --gradient-accumulation-steps 3 --lr 0.01 --clip 0.5"
          + " --optimizer-state remainder --schedule cosine --warmup 2 --gradient-checkpointing"
          + " --evaluations 3 --early-stop 1 --early-stop-metric action_l1 --early-stop-delta 0.01"
          + " --log-interval 2 --checkpoint-interval 4 --keep-checkpoints 5 --oom retry";

  @TempDir private Path folder;

  private static JobConfig config(String... args) throws IOException {
    FineTuneCommand command = new FineTuneCommand();
    CommandLine line = new CommandLine(command).setCaseInsensitiveEnumValuesAllowed(true);
    ConfigDefaults.install(line, args);
    line.parseArgs(args);
    return command.config();
  }

  private JobConfig all() throws IOException {
    return config(ALL.replace("DIR", folder.toString()).split(" "));
  }

  @Test
  void defaultsAreThoseOfTheLibrary() throws IOException {
    Path output = folder.resolve("out");
    assertEquals(JobConfig.builder(output).build(), config("--output", output.toString()));
  }

  @Test
  void everyOptionIsASettingThatARunNotes() throws IOException {
    JobConfig all = all();
    JobConfig plain = config("--output", folder.toString());
    Set<String> settings = new HashSet<>(SchemaCommand.properties().keySet());
    settings.remove("weights"); // Must be there to be named, then nothing is random.
    assertEquals(settings, RunFile.settings(all).keySet());
    RunFile.settings(all)
        .forEach((name, value) -> assertNotEquals(value, RunFile.settings(plain).get(name), name));
  }

  @Test
  void whatARunNotesIsTheSameRun() throws IOException {
    JsonObject run = new JsonObject();
    run.add("options", RunFile.options(all()));
    Files.writeString(folder.resolve("run.json"), run.toString());
    JobConfig again = config("--resume", folder.toString());
    Map<String, Object> expected = RunFile.settings(all());
    expected.put("output", folder);
    assertEquals(expected, RunFile.settings(again));
  }

  @Test
  void planTakesWhatFinetuneTakes() throws IOException {
    JsonArray options = new JsonArray();
    Path file = folder.resolve("run.json");
    JsonObject settings = RunFile.options(all());
    settings.add("preset", new JsonPrimitive("nano"));
    settings.add("modes", options);
    options.add("align");
    Files.writeString(file, settings.toString());
    JsonObject plan = Cli.run("plan --json --config " + file).json();
    assertTrue(plan.get("step").getAsString().startsWith("batch 2, "), plan.get("step").toString());
    assertTrue(plan.get("step").getAsString().endsWith("bf16, rank 4"), plan.toString());
    assertEquals("on", plan.get("gradient checkpointing").getAsString());
  }
}
