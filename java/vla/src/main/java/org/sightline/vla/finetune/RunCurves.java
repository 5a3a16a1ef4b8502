package org.sightline.vla.finetune;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.sightline.vla.finetune.RunHistory.Row;

/** What a job's pictures show: curves over steps, one for each mode that has the values. */
public final class RunCurves {
  /** Points of a curve; a log may have tens of thousands. */
  private static final int MOST_POINTS = 2000;

  /** By mode; dashed, so that curves that lie on each other show through the later ones' gaps. */
  private static final List<String> COLORS = List.of("#3b82d6", "#e07b00", "#1b9e77");

  private static final List<List<Float>> DASHES =
      List.of(List.of(), List.of(9f, 6f), List.of(3f, 6f));

  /**
   * @param title with the phase in parentheses
   * @param curves at least one
   */
  public record Chart(String title, List<Curve> curves) {}

  /**
   * The finite values of a column.
   *
   * @param color of HTML
   * @param best the step with the lowest held-out action loss
   * @param dash lengths in pixels of what is drawn and what is left out; empty: all is drawn
   */
  public record Curve(
      String mode,
      int best,
      String color,
      List<Float> dash,
      List<Integer> steps,
      List<Double> values) {}

  private final List<ModeResult> results;
  private final List<Chart> charts = new ArrayList<>();

  private RunCurves(List<ModeResult> results) {
    this.results = results;
  }

  /** The charts that have something to show. */
  public static List<Chart> of(List<ModeResult> results) {
    RunCurves curves = new RunCurves(results);
    curves.add("action loss (training)", RunHistory::training, "action_loss");
    curves.add("action loss (held out)", RunHistory::evaluations, "action_loss");
    curves.add("token accuracy (held out)", RunHistory::evaluations, "token_accuracy");
    curves.add("action L1 in [-1,1] (held out)", RunHistory::evaluations, "action_l1");
    results.stream()
        .flatMap(result -> result.history().cosineColumns().stream())
        .distinct()
        .forEach(
            column -> {
              String layer = column.substring(column.indexOf('_') + 1);
              curves.add(
                  "alignment cosine, layer " + layer + " (held out)",
                  RunHistory::evaluations,
                  column);
            });
    curves.add("gradient norm (training)", RunHistory::training, "grad_norm");
    curves.add("learning rate (training)", RunHistory::training, "learning_rate");
    curves.add("seconds per step (training)", RunHistory::timing, "seconds_per_step");
    return curves.charts;
  }

  private void add(String title, Function<RunHistory, List<Row>> rows, String column) {
    List<Curve> curves = new ArrayList<>();
    for (int mode = 0; mode < results.size(); mode++) {
      List<Integer> steps = new ArrayList<>();
      List<Double> values = new ArrayList<>();
      for (Row row : RunHistory.thinned(rows.apply(results.get(mode).history()), MOST_POINTS)) {
        if (Double.isFinite(row.get(column))) {
          steps.add(row.step());
          values.add(Figures.forPicture(row.get(column)));
        }
      }
      if (!values.isEmpty()) {
        curves.add(
            new Curve(
                results.get(mode).name(),
                results.get(mode).best().step(),
                COLORS.get(mode),
                DASHES.get(mode),
                steps,
                values));
      }
    }
    if (!curves.isEmpty()) {
      charts.add(new Chart(title, curves));
    }
  }
}
