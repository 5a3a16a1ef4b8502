package org.sightline.benchmarks;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/**
 * Compares Sightline with libtorch and the floor, rivals interleaved inside one process, and writes
 * JSON and a table.
 *
 * <p>libtorch gets its best thread setting: its own times are taken first under each {@link
 * ThreadSetting}, and each group of rows runs under the one that suits libtorch best.
 */
@Command(
    name = "ratios",
    mixinStandardHelpOptions = true,
    description = "Times Sightline, libtorch and the floor in turn; writes JSON and a table.",
    showDefaultValues = true)
public final class RatioTable implements Callable<Integer> {
  /** Share of the time spent on finding libtorch's best setting. */
  private static final double PROBE_SHARE = 0.2;

  @Option(names = "--seconds", description = "About how long to measure in all.")
  private double seconds = 270;

  @Option(
      names = "--rows",
      paramLabel = "REGEX",
      description = "Only rows that contain a match, e.g. alignment/nano or bf16.")
  private Pattern filter = Pattern.compile("");

  @Option(
      names = "--setting",
      description = "Thread setting for all rows instead of libtorch's best.")
  private String setting;

  @Option(names = "--output", paramLabel = "DIR", description = "Where to write.")
  private Path directory = Path.of("benchmarks", "results");

  @Option(names = "--name", description = "Of the files, without ending; by default from the CPU.")
  private String name;

  @Option(names = "--list", description = "Print the rows and do nothing.")
  private boolean list;

  /** An instance for picocli. */
  public RatioTable() {}

  @Override
  public Integer call() throws IOException, InterruptedException {
    List<RatioPlan.Entry> plan =
        RatioPlan.standard().stream()
            .filter(entry -> filter.matcher(entry.toString()).find())
            .toList();
    if (plan.isEmpty()) {
      throw new IllegalArgumentException(
          "--rows must match at least one row, none matches \"" + filter + "\"; see --list");
    }
    if (list) {
      plan.forEach(System.out::println);
      return 0;
    }
    if (!(seconds > 0)) {
      throw new IllegalArgumentException("--seconds must be above 0, found " + seconds);
    }
    requireWritable();
    RatioReport report = measure(plan);
    requireKnownCore(report);
    String file = fileName(report);
    Path json = directory.resolve(file + ".json");
    Gson gson = new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();
    Files.writeString(json, gson.toJson(report) + "\n");
    String table = MarkdownTable.render(report);
    Files.writeString(directory.resolve(file + ".md"), table);
    System.out.println(table);
    System.out.println("Written to " + json + " and the .md beside it.");
    return 0;
  }

  /** Before minutes are spent on what could not be kept. */
  private void requireWritable() {
    try {
      Files.createDirectories(directory);
    } catch (IOException e) {
      throw new IllegalArgumentException("--output: no folder can be made at " + directory, e);
    }
    if (!Files.isWritable(directory)) {
      throw new IllegalArgumentException(
          "--output must be a folder to write to, found " + directory);
    }
  }

  /** A ratio to a floor is worth as much as what is known of the floor. */
  private static void requireKnownCore(RatioReport report) {
    String core = report.environment().get("OpenBLAS core");
    if (core == null || core.equals("unknown")) {
      throw new IllegalStateException(
          "no table is written: which kernels OpenBLAS chose must be known, found " + core);
    }
  }

  /** Virtual machines of one name differ in their instructions. */
  private String fileName(RatioReport report) {
    if (name != null) {
      return name;
    }
    String slug = Machine.cpuModel().toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-");
    return String.format(
        Locale.ROOT,
        "ratios-%s-%d-cpus-%s",
        slug,
        Runtime.getRuntime().availableProcessors(),
        report.environment().get("Sightline CPU path"));
  }

  private RatioReport measure(List<RatioPlan.Entry> plan) throws IOException, InterruptedException {
    List<String> groups = plan.stream().map(RatioPlan.Entry::group).distinct().toList();
    Map<String, String> chosen = new LinkedHashMap<>();
    List<RatioReport.Row> settings = new ArrayList<>();
    double share = 1;
    if (setting == null) {
      settings = compareSettings(groups);
      for (String group : groups) {
        chosen.put(group, best(settings, RatioPlan.probe(group)));
      }
      share -= PROBE_SHARE;
    } else {
      String name = ThreadSetting.named(setting).name();
      groups.forEach(group -> chosen.put(group, name));
    }

    double unit = share * seconds / plan.stream().mapToDouble(RatioPlan.Entry::weight).sum();
    Map<String, RatioReport.Row> measured = new LinkedHashMap<>();
    Map<String, String> environment = new TreeMap<>();
    for (ThreadSetting each : ThreadSetting.ALL) {
      List<RatioPlan.Entry> entries =
          plan.stream().filter(entry -> chosen.get(entry.group()).equals(each.name())).toList();
      if (!entries.isEmpty()) {
        System.err.println("== " + each.name());
        RatioReport.Measured part = work(each, entries, unit, false);
        environment.putAll(part.environment());
        for (int i = 0; i < entries.size(); i++) {
          measured.put(entries.get(i).toString(), part.rows().get(i));
        }
      }
    }
    List<RatioReport.Row> rows =
        plan.stream().map(entry -> measured.get(entry.toString())).toList();
    return new RatioReport(Machine.describe(), environment, settings, chosen, rows);
  }

  private List<RatioReport.Row> compareSettings(List<String> groups)
      throws IOException, InterruptedException {
    List<RatioPlan.Entry> probes = groups.stream().map(RatioPlan::probe).toList();
    double weights = probes.stream().mapToDouble(RatioPlan.Entry::weight).sum();
    double unit = PROBE_SHARE * seconds / (weights * ThreadSetting.ALL.size());
    List<RatioReport.Row> rows = new ArrayList<>();
    for (ThreadSetting each : ThreadSetting.ALL) {
      System.err.println("== libtorch alone, " + each.name());
      rows.addAll(work(each, probes, unit, true).rows());
    }
    return rows;
  }

  /** The setting with the least product of libtorch's time and the floor's. */
  private static String best(List<RatioReport.Row> settings, RatioPlan.Entry probe) {
    return settings.stream()
        .filter(row -> row.workload().equals(probe.id().toString()))
        .min(
            Comparator.comparingDouble(
                row ->
                    row.timings().stream()
                        .mapToDouble(timing -> timing.nanos().median())
                        .reduce(1, (a, b) -> a * b)))
        .orElseThrow()
        .setting();
  }

  private static RatioReport.Measured work(
      ThreadSetting setting, List<RatioPlan.Entry> entries, double unit, boolean rivalsOnly)
      throws IOException, InterruptedException {
    Path result = Files.createTempFile("sightline-rows", ".json");
    try {
      List<String> command = new ArrayList<>();
      command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
      command.addAll(List.of("-Xmx1g", "-Dorg.bytedeco.javacpp.maxPhysicalBytes=0"));
      if (Runtime.version().feature() >= 22) {
        command.add("--enable-native-access=ALL-UNNAMED");
      }
      command.addAll(List.of("-cp", System.getProperty("java.class.path"), Main.class.getName()));
      command.addAll(List.of("worker", "--setting", setting.name()));
      command.addAll(List.of("--seconds", Double.toString(unit), "--output", result.toString()));
      if (rivalsOnly) {
        command.add("--rivals-only");
      }
      entries.forEach(entry -> command.add(entry.toString()));
      ProcessBuilder builder = new ProcessBuilder(command).inheritIO();
      setting.apply(builder.environment());
      int status = builder.start().waitFor();
      if (status != 0) {
        throw new IllegalStateException(
            "measuring under " + setting.name() + " ended with status " + status + ", see above");
      }
      return new Gson().fromJson(Files.readString(result), RatioReport.Measured.class);
    } finally {
      Files.deleteIfExists(result);
    }
  }
}
