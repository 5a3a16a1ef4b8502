package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.finetune.RunFile;
import org.sightline.vla.tabletop.TabletopGenerator;

/** A job that is broken off and resumed, through the command line. */
class ResumeTest {
  private static final String SETTINGS =
      " --modes default,align --steps 6 --evaluations 2 --batch-size 2 --checkpoint-interval 2"
          + " --dropout 0.1 --train-projector --projector-dropout 0.1 --schedule cosine --warmup 1"
          + " --early-stop 5 --early-stop-metric token_accuracy --gradient-checkpointing";

  @TempDir private Path folder;

  @Test
  void anInterruptedJobGoesOnAndEndsWithTheBytesOfAWholeOne() throws Exception {
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(3, 1, 64, 3));
    String common = "finetune --data " + data + "=1.0" + SETTINGS;
    Path whole = folder.resolve("whole");
    Cli first = Cli.succeed(common + " --output " + whole);

    Path parts = folder.resolve("parts");
    String out = terminated(common + " --output " + parts, parts.resolve("align/log.csv"), 3);
    assertTrue(out.contains("align: interrupted after "), out);
    assertTrue(out.contains(" finetune --resume " + parts), out);
    assertTrue(Files.exists(parts.resolve("default/result.json")));
    assertFalse(Files.exists(parts.resolve("align/result.json")));
    JsonArray modes = Cli.run("inspect --json " + parts).json().getAsJsonArray("modes");
    assertEquals("unfinished", modes.get(1).getAsJsonObject().get("end").getAsString());
    assertFalse(modes.get(1).getAsJsonObject().getAsJsonArray("checkpoints").isEmpty());
    // The folder may be moved in between.
    Path moved = Files.move(parts, folder.resolve("moved"));
    Cli refused = Cli.run("finetune --resume " + moved + " --rank 1");
    assertEquals(2, refused.exitCode());
    assertTrue(
        refused
            .err()
            .contains(
                "--resume takes all settings but --steps, --lr and --clip from its folder, found [--rank]"),
        refused.err());
    Cli resumed = Cli.succeed("finetune --resume " + moved);
    assertFalse(resumed.err().contains("threads"), resumed.err());

    for (String mode : List.of("default", "align")) {
      for (String file :
          List.of(
              "log.csv",
              "adapter_model.safetensors",
              "best/adapter_model.safetensors",
              "frames.json")) {
        assertArrayEquals(
            Files.readAllBytes(whole.resolve(mode).resolve(file)),
            Files.readAllBytes(moved.resolve(mode).resolve(file)),
            mode + "/" + file);
      }
    }
    assertArrayEquals(
        Files.readAllBytes(whole.resolve("align/alignment_projector.safetensors")),
        Files.readAllBytes(moved.resolve("align/alignment_projector.safetensors")));
    assertLogs(moved);
    assertReport(moved);
    assertRunFile(moved, data);

    // What is done is not done again; more steps are.
    Path adapter = moved.resolve("align/adapter_model.safetensors");
    byte[] before = Files.readAllBytes(adapter);
    Cli.succeed("finetune --resume " + moved);
    assertArrayEquals(before, Files.readAllBytes(adapter));
    Path file = moved.resolve("run.json");
    String run = Files.readString(file);
    Files.writeString(file, run.replaceAll("\"threads\": \"\\d+", "\"threads\": \"99"));
    Cli more = Cli.succeed("finetune --resume " + moved + " --steps 7");
    assertTrue(more.err().contains("threads, it had 99"), more.err());
    assertTrue(more.out().contains("align         7 "), more.out());
    // Fewer cannot be undone, and are not noted down.
    Cli fewer = Cli.run("finetune --resume " + moved + " --steps 3");
    assertEquals(2, fewer.exitCode());
    assertTrue(
        fewer.err().contains("--steps (mode default is there already) must be at least 7, found 3"),
        fewer.err());
    assertEquals(7, RunFile.read(moved).getAsJsonObject("options").get("steps").getAsInt());
  }

  private static void assertLogs(Path output) throws IOException {
    Path align = output.resolve("align");
    List<Map<String, String>> log = Cli.csv(align.resolve("log.csv"));
    assertEquals("evaluation", log.get(0).get("phase"));
    assertEquals(
        List.of("0", "3", "6"),
        log.stream()
            .filter(row -> row.get("phase").equals("evaluation"))
            .map(row -> row.get("step"))
            .toList());
    // Warm-up from 0, then half a cosine over five steps.
    assertEquals("0.0", log.get(1).get("learning_rate"));
    assertEquals("0.002", log.get(2).get("learning_rate"));
    assertTrue(Double.parseDouble(log.get(3).get("learning_rate")) < 0.002);
    List<Map<String, String>> timing = Cli.csv(align.resolve("timing.csv"));
    assertEquals(6, timing.stream().filter(row -> row.get("phase").equals("train")).count());
    try (PeftAdapter best = PeftAdapter.read(align.resolve("best"));
        Safetensors projectors =
            Safetensors.open(align.resolve("alignment_projector.safetensors"))) {
      assertEquals(71, best.adapters().size());
      assertTrue(projectors.names().contains("layer_2.net.7.weight"), "" + projectors.names());
      assertEquals(8, projectors.names().size());
    }
  }

  private static void assertReport(Path output) throws IOException {
    String html = Files.readString(output.resolve("report.html"));
    assertTrue(html.contains("<th>schedule</th><td>cosine</td>"), html);
    assertTrue(html.contains("<th>hardware: cpu</th>") && html.contains("<h3>Resumed</h3>"));
    assertTrue(html.contains("random (seed 7), not pretrained"));
    assertEquals(3, html.split("<figure>", -1).length - 1, "a frame an episode");
    assertTrue(html.contains("<th>recorded</th><th>default</th><th>align</th>"), html);
    assertTrue(Files.size(output.resolve("plot.png")) > 1000);
  }

  private static void assertRunFile(Path output, Path data) throws IOException {
    JsonObject run = RunFile.read(output);
    JsonObject options = run.getAsJsonObject("options");
    assertEquals(data + "=1.0", options.getAsJsonArray("data").get(0).getAsString());
    assertEquals("[\"default\",\"align\"]", options.get("modes").toString());
    assertEquals(0.2, options.get("lambda").getAsDouble());
    assertEquals(7, options.get("seed").getAsLong());
    assertEquals(6, options.get("steps").getAsInt());
    assertEquals("cosine", options.get("schedule").getAsString());
    assertTrue(options.get("gradient-checkpointing").getAsBoolean());
    assertFalse(options.has("help") || options.has("resume") || options.has("weights"));
    JsonObject started = run.getAsJsonObject("started");
    for (String version : List.of("sightline", "commit", "java", "libtorch", "system")) {
      assertFalse(
          started.getAsJsonObject("versions").get(version).getAsString().isBlank(), version);
    }
    for (String part : List.of("cpu", "processors", "threads", "memory_bytes", "cpu_backend")) {
      assertFalse(started.getAsJsonObject("hardware").get(part).getAsString().isBlank(), part);
    }
    assertEquals("finetune", started.getAsJsonArray("arguments").get(0).getAsString());
    assertEquals(1, run.getAsJsonArray("resumed").size());
  }

  /** Runs in a process of its own until a log has so many rows, then asks the process to end. */
  private static String terminated(String arguments, Path log, int rows) throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    String cache = System.getProperty("org.bytedeco.javacpp.cachedir");
    if (cache != null) {
      command.add("-Dorg.bytedeco.javacpp.cachedir=" + cache);
    }
    command.addAll(List.of("-Xmx1g", "-cp"));
    command.add(System.getProperty("java.class.path"));
    command.add(Main.class.getName());
    command.addAll(List.of(arguments.split(" ")));
    Path output = log.resolveSibling("../../" + "out.txt").normalize();
    Process process =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(output.toFile())
            .start();
    while (process.isAlive() && (!Files.exists(log) || Files.readAllLines(log).size() <= rows)) {
      Thread.sleep(5);
    }
    process.destroy(); // SIGTERM, as from a cluster that wants its machine back.
    assertEquals(128 + 15, process.waitFor(), () -> "it ended by itself");
    return Files.readString(output);
  }
}
