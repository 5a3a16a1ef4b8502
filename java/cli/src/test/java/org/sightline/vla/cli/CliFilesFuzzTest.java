package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.stream.Stream;
import org.sightline.Fuzz;
import org.sightline.FuzzTargets;
import org.sightline.vla.finetune.ExampleFrames;
import org.sightline.vla.finetune.RunFile;

/** Spoiled files that the command line reads itself. */
class CliFilesFuzzTest implements FuzzTargets {
  private static final Set<String> OPTIONS = Set.of("modes", "steps", "lr", "data", "weights");

  @Override
  public Stream<Fuzz> targets(Path folder) throws IOException {
    Path yaml =
        Files.writeString(
            folder.resolve("config.yaml"),
            """
            # A comment
            modes: [default, align]
            steps: &n 2000
            lr: 5e-4
            data:
              - "/tmp/a b"
              - 'c'
            weights: |
              text
            """);
    Path run = Files.createDirectories(folder.resolve("run"));
    Path mode = Files.createDirectories(run.resolve("align"));
    Path runFile =
        Files.writeString(
            run.resolve("run.json"),
            """
            {"options": {"modes": ["align"], "steps": 3, "lr": 5.0E-4, "weights": ["a"]},
             "started": {"time": "2026-11-21T00:00:00Z", "arguments": ["--steps", "3"]},
             "resumed": [{"time": "2026-11-22T00:00:00Z", "hardware": {"threads": "2"}}]}
            """);
    Path log =
        Files.writeString(
            mode.resolve("log.csv"),
            """
            phase,step,action_loss,cosine_1\r
            evaluation,0,2.5,\r
            train,1,2.25,0.5\r
            "evaluation",2,2.0,0.75\r
            """);
    Path timing =
        Files.writeString(
            mode.resolve("timing.csv"), "phase,step,seconds_per_step\r\ntrain,1,0.25\r\n");
    Path result =
        Files.writeString(
            mode.resolve("result.json"),
            "{\"end\": \"completed\", \"steps\": 2, \"skippedSteps\": 0, \"seconds\": 1.5}\n");
    Path frames =
        Files.writeString(
            mode.resolve("frames.json"),
            """
            {"frames": [{"dataset": "d", "episode": 1, "step": 2, "heldOut": true,
              "instruction": "put", "jpeg": "AAAA", "recorded": ["0.5"], "predicted": ["0.25"]}]}
            """);
    return Stream.of(
        Fuzz.of("yaml", yaml, f -> ConfigFile.read(f, OPTIONS)),
        Fuzz.of("run-options", runFile, f -> ConfigFile.readUnder("options", f, OPTIONS)),
        Fuzz.of("run", runFile, f -> readRun(run)),
        Fuzz.of("log", log, f -> readRun(run)),
        Fuzz.of("timing", timing, f -> readRun(run)),
        Fuzz.of("result", result, f -> readRun(run)),
        Fuzz.of("frames", frames, f -> ExampleFrames.read(mode)));
  }

  private static void readRun(Path run) throws IOException {
    RunFile.read(run);
    Inspections.of(run);
  }
}
