package org.sightline.study.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.formats.FormatException;
import org.sightline.study.rollout.Episode;
import org.sightline.study.rollout.Rollouts;
import org.sightline.study.task.Task;

/** Experiments whose truth is known: coins of a given bias. */
class ExperimentTest {
  @TempDir private Path folder;

  private static Rollouts run(double rate, long seed, List<Task> tasks) {
    Random random = new Random(seed);
    Map<Task, List<Episode>> episodes = new EnumMap<>(Task.class);
    for (Task task : tasks) {
      List<Episode> all = new ArrayList<>();
      for (int i = 0; i < 24; i++) {
        boolean success = random.nextDouble() < rate;
        all.add(
            new Episode(task, i, "put <carrot>", success, success, true, false, false, List.of()));
      }
      episodes.put(task, all);
    }
    return new Rollouts(new JsonObject(), episodes);
  }

  private static List<Rollouts> runs(double rate, long seed) {
    List<Rollouts> runs = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      runs.add(run(rate, seed + i, Task.parse("all")));
    }
    return runs;
  }

  private static Map<String, List<Rollouts>> arms() {
    Map<String, List<Rollouts>> arms = new LinkedHashMap<>();
    arms.put("default", runs(0.4, 1));
    arms.put("align", runs(0.6, 11));
    arms.put("same", runs(0.4, 21));
    return arms;
  }

  @Test
  void betterArmsAreFoundAndEqualOnesAreNot() {
    Experiment experiment = Experiment.of(arms());
    assertEquals(12, experiment.contrasts().size(), "two arms, the thirteen and five axes");
    Contrast contrast = experiment.contrasts().get(0);
    assertEquals("align", contrast.arm());
    assertEquals("out of distribution", contrast.tasks());
    assertEquals(65, contrast.pairs().pairs());
    assertEquals(0.2, contrast.difference().value(), 0.05);
    assertTrue(contrast.difference().low() > 0.1 && contrast.difference().high() < 0.3);
    assertEquals(1 / 32.0, contrast.seeds().p(), 1e-12);
    assertTrue(experiment.adjusted()[0] < 1e-4);
    List<Contrast> failed = experiment.failed();
    assertFalse(failed.contains(contrast));
    assertEquals(6, failed.stream().filter(c -> c.arm().equals("same")).count());
    // The mean of an arm's rates over tasks is what the contrast's difference is of.
    double mean = 0;
    for (Task task : Task.parse("ood")) {
      mean +=
          (experiment.rate("align", task, Episode::success).value()
                  - experiment.rate("default", task, Episode::success).value())
              / 13;
    }
    assertEquals(mean, contrast.difference().value(), 1e-12);
  }

  @Test
  void unlikeRunsAreRefused() {
    Map<String, List<Rollouts>> arms = arms();
    arms.put("short", arms.get("same").subList(0, 4));
    assertThrows(IllegalArgumentException.class, () -> Experiment.of(arms));
    arms.remove("short");
    Map<Task, List<Episode>> shifted = new EnumMap<>(arms.get("same").get(0).episodes());
    shifted.replaceAll((task, all) -> all.subList(1, all.size()));
    List<Rollouts> runs = new ArrayList<>(arms.get("same"));
    runs.set(0, new Rollouts(new JsonObject(), shifted));
    arms.put("same", runs);
    assertTrue(
        assertThrows(IllegalArgumentException.class, () -> Experiment.of(arms))
            .getMessage()
            .startsWith("runs must be of the same scenes"));
  }

  @Test
  void filesHoldWhatWasCounted() throws IOException {
    Rollouts run = run(0.5, 3, Task.parse("carrot,shape"));
    Path file = folder.resolve("rollout.json");
    run.write(file);
    assertEquals(run.episodes(), Rollouts.read(file).episodes());
    Files.writeString(file, Files.readString(file).replace("\"carrot\"", "\"turnip\""));
    assertThrows(FormatException.class, () -> Rollouts.read(file));
    assertTrue(run.table().contains("Carrot"), run.table());
  }

  @Test
  void theReportSaysWhatDidNotHoldFirst() throws IOException {
    Experiment experiment = Experiment.of(arms());
    StudyReport.write(folder, experiment, Map.of());
    String html = Files.readString(folder.resolve("report.html"));
    int failed = html.indexOf("Not shown: same over default");
    int held = html.indexOf("Shown: align over default, out of distribution");
    assertTrue(failed > 0 && held > failed);
    assertTrue(html.contains("<td>0.61</td>"), "the paper's table 1");
    assertTrue(html.contains("<td>0.82</td>"), "the paper's table 2");
    JsonObject json =
        JsonParser.parseString(Files.readString(folder.resolve("report.json"))).getAsJsonObject();
    assertEquals(3 * 22, json.getAsJsonArray("rates").size());
    assertEquals(12, json.getAsJsonArray("contrasts").size());
  }
}
