package org.sightline.benchmarks;

import com.google.gson.Gson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.bytedeco.pytorch.global.torch;
import org.sightline.Backend;
import org.sightline.Sightline;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/**
 * The measuring process: {@link RatioTable} starts one per thread setting, since libtorch's OpenMP
 * reads its environment only once.
 */
@Command(name = "worker", description = "Measures rows in this process; used by ratios.")
final class Worker implements Callable<Integer> {
  @Option(names = "--setting", required = true)
  private String setting;

  @Option(names = "--seconds", required = true, description = "Time per unit of weight.")
  private double seconds;

  @Option(names = "--rivals-only", description = "Leave Sightline out; do not even load it.")
  private boolean rivalsOnly;

  @Option(names = "--output", required = true)
  private Path output;

  @Parameters(arity = "1..*", paramLabel = "ROW")
  private List<String> entries;

  @Override
  public Integer call() throws IOException {
    RivalKernels.requireTheirOwn(System.getenv());
    RatioReport.Measured part =
        measure(
            entries.stream().map(RatioPlan.Entry::parse).toList(), setting, seconds, rivalsOnly);
    Files.writeString(output, new Gson().toJson(part));
    return 0;
  }

  /** Measures in this very process; its environment must be that of {@code setting}. */
  static RatioReport.Measured measure(
      List<RatioPlan.Entry> entries, String setting, double seconds, boolean rivalsOnly) {
    List<RatioReport.Row> rows = new ArrayList<>();
    for (RatioPlan.Entry entry : entries) {
      try (Workload workload = entry.id().open(rivalsOnly)) {
        RatioReport.Row row = row(entry, workload, setting, seconds * entry.weight(), rivalsOnly);
        rows.add(row);
        System.err.println(progress(row));
      }
    }
    return new RatioReport.Measured(environment(rivalsOnly), rows);
  }

  private static RatioReport.Row row(
      RatioPlan.Entry entry,
      Workload workload,
      String setting,
      double seconds,
      boolean rivalsOnly) {
    Double disagreement = null;
    if (!rivalsOnly) {
      // The time of a wrong result is worth nothing.
      disagreement = workload.disagreement();
      if (!(disagreement <= workload.tolerance())) {
        throw new IllegalStateException(
            entry
                + ": results differ from libtorch's by "
                + disagreement
                + " (relative), at most "
                + workload.tolerance()
                + " expected");
      }
    }
    Interleaver.Samples samples =
        new Interleaver(System::nanoTime).measure(workload, seconds, entry.warm());
    List<RatioReport.Timing> timings = new ArrayList<>();
    for (int i = 0; i < samples.contenders().size(); i++) {
      Workload.Contender contender = samples.contenders().get(i);
      timings.add(
          new RatioReport.Timing(
              contender.name(),
              contender.role(),
              samples.time(i),
              rivalsOnly ? null : samples.ratio(i, 0)));
    }
    return new RatioReport.Row(
        entry.id().toString(),
        entry.warm() ? "warm" : "cold",
        setting,
        samples.rounds(),
        workload.flops(),
        workload.bytes(),
        disagreement,
        timings);
  }

  private static String progress(RatioReport.Row row) {
    StringBuilder line = new StringBuilder(row.workload());
    if (row.caches().equals("cold")) {
      line.append(" (cold)");
    }
    for (RatioReport.Timing timing : row.timings()) {
      line.append(
          String.format(
              Locale.ROOT, "  %s %.3f ms", timing.contender(), timing.nanos().median() / 1e6));
    }
    return line.append("  [").append(row.rounds()).append(" rounds]").toString();
  }

  private static Map<String, String> environment(boolean rivalsOnly) {
    Map<String, String> facts = new TreeMap<>();
    facts.put("libtorch", field(torch.show_config().getString(), "TORCH_VERSION="));
    facts.put("libtorch BLAS", field(torch.show_config().getString(), "BLAS_INFO="));
    facts.put("OpenBLAS core", RivalKernels.openBlasCore());
    facts.put("libtorch CPU capability", torch.get_cpu_capability().getString());
    facts.put("oneDNN", torch.get_mkldnn_version().getString().strip());
    facts.put("libtorch threads", Integer.toString(torch.get_num_threads()));
    if (!rivalsOnly) {
      Backend cpu = Sightline.cpu();
      facts.put("Sightline", Sightline.version());
      facts.put("Sightline CPU path", cpu.implementation());
    }
    return facts;
  }

  private static String field(String config, String key) {
    int start = config.indexOf(key);
    if (start < 0) {
      return "unknown";
    }
    return config.substring(start + key.length()).split("[,\\s]", 2)[0];
  }
}
