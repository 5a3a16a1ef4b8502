package org.sightline.vla.finetune;

import java.util.List;
import java.util.Locale;
import org.sightline.vla.finetune.RunHistory.Row;

/** The modes side by side: held-out episodes before → after. */
final class ResultTable {
  private static final String ROW = "%-8s %6s   %-17s %-17s %-17s %-17s %-19s %s%n";

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
            "lowest (best/)",
            "token accuracy",
            "action L1",
            "alignment cosine",
            "s/step"));
    for (ModeResult result : results) {
      Row before = result.before();
      Row after = result.after();
      table.append(
          String.format(
              Locale.ROOT,
              ROW,
              result.name(),
              result.summary().steps(),
              change("%.3f", before.get("action_loss"), after.get("action_loss")),
              String.format(
                  Locale.ROOT,
                  "%.3f at step %d",
                  result.best().get("action_loss"),
                  result.best().step()),
              change("%.3f", before.get("token_accuracy"), after.get("token_accuracy")),
              change("%.3f", before.get("action_l1"), after.get("action_l1")),
              change("%+.3f", before.cosine(), after.cosine()),
              String.format(Locale.ROOT, "%.3f", result.secondsPerStep())));
    }
    return table.toString();
  }

  private static String change(String format, double before, double after) {
    return String.format(Locale.ROOT, format + " -> " + format, before, after);
  }
}
