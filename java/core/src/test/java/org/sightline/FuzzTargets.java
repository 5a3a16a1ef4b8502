package org.sightline;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * Readers and what they are tried with: seeded cases, or, under the profile {@code fuzz}, whatever
 * Jazzer comes to in {@code -Dsightline.fuzz.seconds}, in a JVM of its own for each reader. What it
 * keeps lies in {@code target/fuzz/NAME}, for the next search to start from.
 */
public interface FuzzTargets {
  /**
   * The targets.
   *
   * @param folder an empty one, for their files
   */
  Stream<Fuzz> targets(Path folder) throws IOException;

  @TestFactory
  default Stream<DynamicTest> readers(@TempDir Path folder) throws IOException {
    int seconds = Integer.getInteger("sightline.fuzz.seconds", 0);
    return targets(folder)
        .map(
            target ->
                DynamicTest.dynamicTest(
                    target.name(),
                    () -> {
                      if (seconds > 0) {
                        search(target, seconds, folder);
                      } else {
                        target.run();
                      }
                    }));
  }

  private void search(Fuzz target, int seconds, Path temporary)
      throws IOException, InterruptedException {
    Path found = Files.createDirectories(Path.of("target", "fuzz", target.name()));
    List<byte[]> seeds = target.corpus();
    for (int i = 0; i < seeds.size(); i++) {
      Files.write(found.resolve("seed-" + i), seeds.get(i));
    }
    Path log = Path.of("target", "fuzz-" + target.name() + ".log");
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx2g",
                "-Djava.io.tmpdir=" + temporary,
                "-cp",
                System.getProperty("java.class.path"),
                "com.code_intelligence.jazzer.Jazzer",
                "--target_class=" + Guided.class.getName(),
                "--target_args=" + getClass().getName() + " " + target.name(),
                "--instrumentation_excludes=org.bytedeco.**",
                "--custom_hook_excludes=org.bytedeco.**",
                "--reproducer_path=target",
                "-artifact_prefix=target/fuzz-" + target.name() + "-",
                "-max_total_time=" + seconds,
                "-timeout=60",
                "-rss_limit_mb=0",
                found.toString())
            .redirectErrorStream(true)
            .redirectOutput(log.toFile())
            .start();
    assertTrue(process.waitFor(2L * seconds + 3600, TimeUnit.SECONDS), () -> "no end: " + log);
    assertEquals(0, process.exitValue(), () -> "see " + log);
  }

  /** What Jazzer calls. */
  final class Guided {
    private static Fuzz target;

    private Guided() {}

    public static void fuzzerInitialize(String[] args) throws Exception {
      var constructor = Class.forName(args[0]).getDeclaredConstructor();
      constructor.setAccessible(true);
      FuzzTargets targets = (FuzzTargets) constructor.newInstance();
      target =
          targets
              .targets(Files.createTempDirectory("fuzz"))
              .filter(each -> each.name().equals(args[1]))
              .findAny()
              .orElseThrow();
    }

    public static void fuzzerTestOneInput(byte[] input) throws IOException {
      Map<String, String> failures = new LinkedHashMap<>();
      target.note(input, failures);
      if (!failures.isEmpty()) {
        throw new AssertionError(failures.values());
      }
    }
  }
}
