package org.sightline.benchmarks;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/** What a result depends on besides the code. */
final class Machine {
  private static final Path CPU_INFO = Path.of("/proc/cpuinfo");
  private static final Path LOAD = Path.of("/proc/loadavg");
  private static final Path MEMORY = Path.of("/proc/meminfo");

  private Machine() {}

  static Map<String, String> describe() {
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("date", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
    facts.put("commit", commit());
    facts.put("CPU", cpuModel());
    facts.put("CPU family, model", first("cpu family") + ", " + first("model"));
    facts.put("CPUs", Integer.toString(Runtime.getRuntime().availableProcessors()));
    facts.put("clock, MHz", clocks());
    facts.put("load before", firstWord(LOAD));
    facts.put("memory", field(MEMORY, "MemTotal").stream().findFirst().orElse("unknown"));
    facts.put(
        "OS",
        System.getProperty("os.name")
            + " "
            + System.getProperty("os.version")
            + " "
            + System.getProperty("os.arch"));
    facts.put(
        "JDK",
        System.getProperty("java.vendor") + " " + System.getProperty("java.runtime.version"));
    return facts;
  }

  static String cpuModel() {
    return first("model name");
  }

  private static String first(String key) {
    return field(CPU_INFO, key).stream().findFirst().orElse("unknown");
  }

  private static String clocks() {
    List<String> clocks = field(CPU_INFO, "cpu MHz");
    return clocks.isEmpty()
        ? "unknown"
        : clocks.stream()
            .map(mhz -> String.format(Locale.ROOT, "%.0f", Double.parseDouble(mhz)))
            .distinct()
            .collect(Collectors.joining(", "));
  }

  /** The commit checked out where the command runs, with a mark if files differ from it. */
  private static String commit() {
    String head = output("git", "rev-parse", "HEAD");
    if (head.isEmpty()) {
      return "unknown";
    }
    return output("git", "status", "--porcelain", "--untracked-files=no").isEmpty()
        ? head
        : head + " with local changes";
  }

  /** Standard output of a command, stripped; empty if it fails or does not exist. */
  private static String output(String... command) {
    try {
      Process process =
          new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
      String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      return process.waitFor() == 0 ? text.strip() : "";
    } catch (IOException e) {
      return "";
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return "";
    }
  }

  /** Values of the lines {@code key : value}; none where the file is not there. */
  private static List<String> field(Path file, String key) {
    return lines(file).stream()
        .map(line -> line.split(":", 2))
        .filter(parts -> parts.length == 2 && parts[0].strip().equals(key))
        .map(parts -> parts[1].strip())
        .toList();
  }

  private static String firstWord(Path file) {
    return lines(file).stream().map(line -> line.split(" ")[0]).findFirst().orElse("unknown");
  }

  private static List<String> lines(Path file) {
    if (!Files.isReadable(file)) {
      return List.of();
    }
    try {
      return Files.readAllLines(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
