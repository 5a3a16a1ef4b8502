package org.sightline.benchmarks;

import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** Renders a {@link RatioReport} for reading. */
final class MarkdownTable {
  private final StringBuilder out = new StringBuilder();

  private MarkdownTable() {}

  static String render(RatioReport report) {
    MarkdownTable table = new MarkdownTable();
    table.facts(report);
    table.ratios(report.rows());
    table.settings(report);
    return table.out.toString();
  }

  private void facts(RatioReport report) {
    line("# Sightline beside libtorch and the floor");
    line("");
    line("Written by `benchmarks/run.sh`; the numbers are in the JSON file of the same name.");
    line("Ratios are time over Sightline's, of the same round of the same process: above 1,");
    line("Sightline is faster. Medians, with the quartiles in brackets.");
    line("");
    line("| | |");
    line("|---|---|");
    report.machine().forEach((name, value) -> row(name, value));
    report.environment().forEach((name, value) -> row(name, value));
    line("");
  }

  private void ratios(List<RatioReport.Row> rows) {
    line("## Ratios");
    line("");
    line(
        "| task | caches | Sightline | rate | libtorch / Sightline | floor / Sightline | rounds |");
    line("|---|---|---|---|---|---|---|");
    for (RatioReport.Row row : rows) {
      Optional<RatioReport.Timing> ours = best(row, Workload.Role.SIGHTLINE);
      row(
          row.workload(),
          row.caches(),
          ours.map(timing -> time(timing.nanos().median())).orElse("–"),
          ours.map(timing -> rate(row, timing)).orElse("–"),
          ratio(best(row, Workload.Role.EAGER)),
          ratio(best(row, Workload.Role.FLOOR)),
          Integer.toString(row.rounds()));
    }
    line("");
  }

  private void settings(RatioReport report) {
    if (report.settings().isEmpty()) {
      return;
    }
    line("## libtorch's threads");
    line("");
    line(
        "libtorch's own times under each setting, Sightline not loaded. A group of rows above ran");
    line("under the setting that is best for libtorch there.");
    line("");
    line("| task | setting | libtorch | floor |");
    line("|---|---|---|---|");
    for (RatioReport.Row row : report.settings()) {
      row(
          row.workload(),
          row.setting(),
          best(row, Workload.Role.EAGER).map(t -> time(t.nanos().median())).orElse("–"),
          best(row, Workload.Role.FLOOR).map(t -> time(t.nanos().median())).orElse("–"));
    }
    line("");
    line("| rows | ran under |");
    line("|---|---|");
    report.chosen().forEach((group, setting) -> row(group, setting));
  }

  /** The fastest contender of a role. */
  static Optional<RatioReport.Timing> best(RatioReport.Row row, Workload.Role role) {
    return row.timings().stream()
        .filter(timing -> timing.role() == role)
        .min(Comparator.comparingDouble(timing -> timing.nanos().median()));
  }

  private static String ratio(Optional<RatioReport.Timing> rival) {
    return rival
        .filter(timing -> timing.ratio() != null)
        .map(
            timing ->
                String.format(
                    Locale.ROOT,
                    "%.2f [%.2f, %.2f] %s",
                    timing.ratio().median(),
                    timing.ratio().q1(),
                    timing.ratio().q3(),
                    timing.contender()))
        .orElse("–");
  }

  private static String rate(RatioReport.Row row, RatioReport.Timing timing) {
    double nanos = timing.nanos().median();
    if (row.flops() > 0) {
      return String.format(Locale.ROOT, "%.1f GFLOP/s", row.flops() / nanos);
    }
    return row.bytes() > 0 ? String.format(Locale.ROOT, "%.1f GB/s", row.bytes() / nanos) : "–";
  }

  private static String time(double nanos) {
    return nanos < 1e6
        ? String.format(Locale.ROOT, "%.1f µs", nanos / 1e3)
        : String.format(Locale.ROOT, "%.2f ms", nanos / 1e6);
  }

  private void row(String... cells) {
    line("| " + String.join(" | ", cells) + " |");
  }

  private void line(String text) {
    out.append(text).append('\n');
  }
}
