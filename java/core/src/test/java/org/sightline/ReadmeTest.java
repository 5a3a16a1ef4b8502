package org.sightline;

import static java.util.stream.Collectors.toCollection;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The code on the pages is code that is built, and the Java example runs. */
class ReadmeTest {
  private static final Path ROOT = Path.of("..", "..");
  private static final Pattern BLOCK =
      Pattern.compile("^```(\\w+)\\n(.*?)^```$", Pattern.DOTALL | Pattern.MULTILINE);

  @Test
  void theLossOfTheJavaExampleFalls() throws Exception {
    ByteArrayOutputStream captured = new ByteArrayOutputStream();
    PrintStream out = System.out;
    System.setOut(new PrintStream(captured, true, StandardCharsets.UTF_8));
    try {
      Class.forName("ReadmeExample")
          .getMethod("main", String[].class)
          .invoke(null, (Object) new String[0]);
    } finally {
      System.setOut(out);
    }
    List<Double> losses =
        captured
            .toString(StandardCharsets.UTF_8)
            .lines()
            .map(line -> Double.valueOf(line.substring(line.lastIndexOf(' '))))
            .toList();
    assertEquals(50, losses.size());
    assertTrue(losses.get(49) < losses.get(0) - 0.005, losses.toString());
  }

  /** Whole, or a part of it without a line left out. */
  @Test
  void everyBlockOfCodeStandsInAnExampleThatTheTestsRun() throws IOException {
    Map<String, List<String>> examples =
        Map.of(
            "java",
                List.of(
                    "java/core/src/test/java/ReadmeExample.java",
                    "java/vla/src/test/java/FineTuneAndAct.java"),
            "c", List.of("native/examples/loss.h"),
            "cmake", List.of("native/examples/CMakeLists.txt"),
            "python", List.of("native/examples/python/align_torch.py"),
            "cpp", List.of("native/examples/torch/align_torch.cpp"));
    Set<String> seen = new TreeSet<>();
    for (String page : List.of("README.md", "native/README.md", "java/README.md")) {
      Matcher block = BLOCK.matcher(Files.readString(ROOT.resolve(page)));
      while (block.find()) {
        boolean found = !examples.containsKey(block.group(1));
        for (String example : examples.getOrDefault(block.group(1), List.of())) {
          if (Files.readString(ROOT.resolve(example)).contains(block.group(2))) {
            found = true;
            seen.add(example);
          }
        }
        assertTrue(found, page + ": in no example: " + block.group(2));
      }
    }
    assertEquals(
        examples.values().stream().flatMap(List::stream).collect(toCollection(TreeSet::new)), seen);
  }
}
