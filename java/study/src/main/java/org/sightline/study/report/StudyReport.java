package org.sightline.study.report;

import com.google.gson.Gson;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.sightline.formats.file.AtomicFile;
import org.sightline.study.rollout.Episode;
import org.sightline.study.rollout.Rollouts;
import org.sightline.study.statistics.Interval;
import org.sightline.study.statistics.PairedTest;
import org.sightline.study.statistics.PaperTables;
import org.sightline.study.statistics.PaperTables.Arm;
import org.sightline.study.task.Axis;
import org.sightline.study.task.Task;
import org.sightline.vla.finetune.Html;

/** An experiment as one HTML file that loads nothing, and a JSON of every number in it. */
public final class StudyReport {
  /** The numbers' file. */
  public static final String JSON = "report.json";

  private static final List<Arm> PAPER = List.of(Arm.DEFAULT, Arm.FREEZE, Arm.ALIGN);

  private final Experiment experiment;
  private final List<String> arms;
  private final Html html = new Html();

  private StudyReport(Experiment experiment) {
    this.experiment = experiment;
    this.arms = List.copyOf(experiment.arms().keySet());
  }

  /**
   * Writes {@code report.html} and {@code report.json}.
   *
   * @param folder exists
   * @param sheets contact sheets, PNG files by title
   */
  public static void write(Path folder, Experiment experiment, Map<String, Path> sheets)
      throws IOException {
    StudyReport report = new StudyReport(experiment);
    report.page(sheets);
    AtomicFile.writeText(folder.resolve("report.html"), report.html.toString());
    AtomicFile.writeText(folder.resolve(JSON), Rollouts.text(report.json()));
  }

  private void page(Map<String, Path> sheets) throws IOException {
    html.begin("Sightline study", "");
    html.element("h1", "Sightline study");
    verdict();
    html.element("h2", "Success at the end, out of distribution");
    html.element(
        "p",
        "Rates with Wilson's 95 % interval, all training seeds together; right, what the paper"
            + " reports of OpenVLA-7B in its simulator (table 1). Only directions can be compared.");
    rates(Task.of(Axis.IN_DISTRIBUTION, Axis.SEMANTICS, Axis.VISION, Axis.EXECUTION));
    html.element("h2", "Success at the end, VL-Think boards");
    html.element(
        "p",
        "Paper's table 2. Chance is 1/3 of what is grasped and placed, 1/2 for Parity, which the"
            + " paper's release scores by the wrong board.");
    rates(Task.of(Axis.BOARDS));
    html.element("h2", "What else happened");
    html.element("p", "Success once / object grasped / let go on a wrong target / wrong object.");
    others();
    html.element("h2", "Tests");
    contrasts();
    if (!sheets.isEmpty()) {
      html.element("h2", "Episodes");
      for (Map.Entry<String, Path> sheet : sheets.entrySet()) {
        html.element("h3", sheet.getKey());
        html.raw(
            "<div class=\"wide\"><img alt=\"frames of episodes\" src=\"data:image/png;base64,");
        html.raw(Base64.getEncoder().encodeToString(Files.readAllBytes(sheet.getValue())));
        html.raw("\"></div>\n");
      }
    }
    html.element("h2", "Runs");
    html.table(List.of("arm", "tried"));
    experiment
        .arms()
        .forEach(
            (arm, runs) -> runs.forEach(run -> html.row(arm, List.of(run.about().toString()))));
    html.endTable();
    html.end();
  }

  /** What did not hold comes first. */
  private void verdict() {
    html.element("h2", "Verdict");
    List<Contrast> failed = experiment.failed();
    html.raw("<ul>\n");
    for (Contrast contrast : failed) {
      html.element("li", "Not shown: " + contrast.sentence());
    }
    for (Contrast contrast : experiment.contrasts()) {
      if (!failed.contains(contrast)) {
        html.element("li", "Shown: " + contrast.sentence());
      }
    }
    html.raw("</ul>\n");
  }

  private void rates(List<Task> wanted) {
    List<Task> tasks = wanted.stream().filter(experiment.tasks()::contains).toList();
    List<String> headings = new ArrayList<>(List.of("task"));
    headings.addAll(arms);
    PAPER.forEach(arm -> headings.add("paper: " + arm.label()));
    html.table(headings);
    for (Task task : tasks) {
      List<String> cells = new ArrayList<>();
      for (String arm : arms) {
        cells.add(text(experiment.rate(arm, task, Episode::success)));
      }
      for (Arm arm : PAPER) {
        Double rate = PaperTables.rates(arm).get(task);
        cells.add(rate == null ? "" : String.format(Locale.ROOT, "%.2f", rate));
      }
      html.row(task.label(), cells);
    }
    html.endTable();
  }

  private void others() {
    List<String> headings = new ArrayList<>(List.of("task"));
    headings.addAll(arms);
    html.table(headings);
    for (Task task : experiment.tasks()) {
      List<String> cells = new ArrayList<>();
      for (String arm : arms) {
        cells.add(
            String.format(
                Locale.ROOT,
                "%.2f / %.2f / %.2f / %.2f",
                experiment.rate(arm, task, Episode::successOnce).value(),
                experiment.rate(arm, task, Episode::grasped).value(),
                experiment.rate(arm, task, Episode::wrongTarget).value(),
                experiment.rate(arm, task, Episode::graspedOther).value()));
      }
      html.row(task.label(), cells);
    }
    html.endTable();
  }

  private void contrasts() {
    html.element(
        "p",
        "Differences with a 95 % interval of a bootstrap over training seeds and scenes."
            + " p: one-sided Wilcoxon over pairs of (training seed, task); Holm: corrected for"
            + " all rows; by seeds: over the means of training seeds alone. r: rank-biserial.");
    html.table(List.of("", "tasks", "difference", "better / worse", "p", "Holm", "by seeds", "r"));
    for (int i = 0; i < experiment.contrasts().size(); i++) {
      Contrast c = experiment.contrasts().get(i);
      PairedTest pairs = c.pairs();
      html.row(
          c.arm() + " over " + c.baseline(),
          List.of(
              c.tasks(),
              String.format(
                  Locale.ROOT,
                  "%+.3f [%+.3f, %+.3f]",
                  c.difference().value(),
                  c.difference().low(),
                  c.difference().high()),
              pairs.better() + " / " + pairs.worse() + " of " + pairs.pairs(),
              String.format(Locale.ROOT, "%.4f", pairs.p()),
              String.format(Locale.ROOT, "%.4f", experiment.adjusted()[i]),
              String.format(Locale.ROOT, "%.4f", c.seeds().p()),
              String.format(Locale.ROOT, "%+.2f", pairs.rankBiserial())));
    }
    html.endTable();
  }

  private static String text(Interval rate) {
    return String.format(Locale.ROOT, "%.3f [%.2f, %.2f]", rate.value(), rate.low(), rate.high());
  }

  private JsonObject json() {
    Gson gson = new Gson();
    JsonObject json = new JsonObject();
    JsonArray rates = new JsonArray();
    for (String arm : arms) {
      for (Task task : experiment.tasks()) {
        JsonObject entry = new JsonObject();
        entry.addProperty("arm", arm);
        entry.addProperty("task", task.name().toLowerCase(Locale.ROOT));
        entry.add("success_at_end", gson.toJsonTree(experiment.rate(arm, task, Episode::success)));
        entry.add(
            "success_once", gson.toJsonTree(experiment.rate(arm, task, Episode::successOnce)));
        entry.add("grasped", gson.toJsonTree(experiment.rate(arm, task, Episode::grasped)));
        entry.add(
            "wrong_target", gson.toJsonTree(experiment.rate(arm, task, Episode::wrongTarget)));
        rates.add(entry);
      }
    }
    json.add("rates", rates);
    JsonArray contrasts = new JsonArray();
    for (int i = 0; i < experiment.contrasts().size(); i++) {
      JsonObject entry = gson.toJsonTree(experiment.contrasts().get(i)).getAsJsonObject();
      entry.addProperty("holm", experiment.adjusted()[i]);
      contrasts.add(entry);
    }
    json.add("contrasts", contrasts);
    return json;
  }
}
