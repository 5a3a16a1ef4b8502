package org.sightline.vla.cli;

import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import org.sightline.train.Evaluation;

/** The modes side by side: held-out episodes before → after. */
final class ResultTable {
  private static final String ROW = "%-8s %6s   %-17s %-17s %-17s %-19s %s%n";

  private ResultTable() {}

  static String of(List<ModeResult> results) {
    StringBuilder table = new StringBuilder();
    table.append(
        String.format(
            Locale.ROOT,
            ROW,
            "mode",
            "steps",
            "action loss",
            "token accuracy",
            "action L1",
            "alignment cosine",
            "s/step"));
    for (ModeResult result : results) {
      Evaluation before = result.before();
      Evaluation after = result.after();
      table.append(
          String.format(
              Locale.ROOT,
              ROW,
              result.mode().name().toLowerCase(Locale.ROOT),
              result.result().steps(),
              change("%.3f", before.actionLoss(), after.actionLoss()),
              change("%.3f", metric(before, "token_accuracy"), metric(after, "token_accuracy")),
              change("%.3f", metric(before, "action_l1"), metric(after, "action_l1")),
              change("%+.3f", cosine(before), cosine(after)),
              String.format(Locale.ROOT, "%.3f", result.secondsPerStep())));
    }
    return table.toString();
  }

  private static String change(String format, double before, double after) {
    return String.format(Locale.ROOT, format + " -> " + format, before, after);
  }

  private static double metric(Evaluation evaluation, String name) {
    return evaluation.metrics().getOrDefault(name, Double.NaN);
  }

  /** Mean over the aligned layers. */
  static double cosine(Evaluation evaluation) {
    OptionalDouble mean =
        evaluation.cosine().values().stream().mapToDouble(Double::doubleValue).average();
    return mean.orElse(Double.NaN);
  }
}
