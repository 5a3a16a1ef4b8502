package org.sightline.benchmarks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.Gson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The one command, end to end on one row, and how its table reads. */
class RatioTableTest {
  @Test
  void writesJsonAndTable(@TempDir Path directory) throws IOException {
    int status =
        Main.execute(
            "ratios",
            "--seconds=0.2",
            "--rows=^alignment/nano/64/fp32",
            "--setting=OMP_WAIT_POLICY=PASSIVE",
            "--output=" + directory,
            "--name=test");
    assertEquals(0, status);
    RatioReport report =
        new Gson().fromJson(Files.readString(directory.resolve("test.json")), RatioReport.class);
    assertEquals(Map.of("nano fp32", "OMP_WAIT_POLICY=PASSIVE"), report.chosen());
    assertTrue(report.machine().containsKey("commit"), report.machine().toString());
    assertTrue(report.environment().get("libtorch").matches("\\d+\\.\\d+\\.\\d+"), "libtorch");
    assertTrue(report.environment().get("OpenBLAS core").matches("\\w+"), "OpenBLAS core");
    assertEquals(1, report.rows().size());
    RatioReport.Row row = report.rows().get(0);
    assertEquals(3, row.timings().size());
    assertTrue(row.rounds() >= 5, "rounds " + row.rounds());
    for (RatioReport.Timing timing : row.timings()) {
      assertTrue(timing.nanos().median() > 1000, timing.toString());
      assertTrue(timing.ratio().median() > 0, timing.toString());
    }
    assertEquals(new Quartiles(1, 1, 1), row.timings().get(0).ratio(), "Sightline over itself");
    assertTrue(
        Files.readString(directory.resolve("test.md"))
            .contains("| alignment/nano/64/fp32 | warm |"),
        "table");
  }

  @Test
  void wrongArgumentsAreExplained(@TempDir Path folder) throws IOException {
    Path file = Files.createFile(folder.resolve("file"));
    assertEquals(2, Main.execute("ratios", "--seconds=-1", "--output=" + folder));
    assertEquals(2, Main.execute("ratios", "--output=" + file));
    assertEquals(2, Main.execute("ratios", "--output=" + file.resolve("below")));
    assertEquals(2, Main.execute("ratios", "--rows=nothing like this"));
    assertEquals(2, Main.execute("ratios", "--rows=alignment/nano/64/fp32", "--setting=fastest"));
    assertEquals(2, Main.execute("ratios", "--seconds=long"));
  }

  @Test
  void tableShowsTheFastestRival() {
    Quartiles ours = new Quartiles(1e6, 2e6, 3e6);
    RatioReport.Row row =
        new RatioReport.Row(
            "adamw/nano/-/fp32",
            "warm",
            "as shipped",
            9,
            0,
            28e6,
            1e-7,
            List.of(
                new RatioReport.Timing("sightline", Workload.Role.SIGHTLINE, ours, ours),
                rival("slow", Workload.Role.EAGER, 9e6, 4.5),
                rival("fast", Workload.Role.EAGER, 5e6, 2.5),
                rival("copy", Workload.Role.FLOOR, 1e6, 0.5)));
    RatioReport report = new RatioReport(Map.of(), Map.of(), List.of(), Map.of(), List.of(row));
    String line =
        "| adamw/nano/-/fp32 | warm | 2.00 ms | 14.0 GB/s | 2.50 [2.50, 2.50] fast"
            + " | 0.50 [0.50, 0.50] copy | 9 |";
    assertTrue(MarkdownTable.render(report).contains(line), MarkdownTable.render(report));
  }

  private static RatioReport.Timing rival(
      String name, Workload.Role role, double nanos, double ratio) {
    return new RatioReport.Timing(
        name, role, new Quartiles(nanos, nanos, nanos), new Quartiles(ratio, ratio, ratio));
  }
}
