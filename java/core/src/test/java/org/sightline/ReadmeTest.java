package org.sightline;

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
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The README's code is code that is built: its blocks are the files, and the Java one runs. */
class ReadmeTest {
  private static final Path ROOT = Path.of("..", "..");

  @Test
  void javaBlockIsTheExampleAndItsLossFalls() throws Exception {
    assertEquals(Files.readString(Path.of("src/test/java/ReadmeExample.java")), block("java"));
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

  @Test
  void cBlockIsTheExampleThatTheNativeTestsBuild() throws IOException {
    assertEquals(Files.readString(ROOT.resolve("native/examples/loss.h")), block("c"));
  }

  @Test
  void otherBlocksAreTheExamplesThatTheNativeTestsRun() throws IOException {
    Map<String, String> examples =
        Map.of(
            "cmake", "native/examples/CMakeLists.txt",
            "python", "native/examples/python/align_torch.py",
            "cpp", "native/examples/torch/align_torch.cpp");
    for (Map.Entry<String, String> example : examples.entrySet()) {
      assertEquals(
          Files.readString(ROOT.resolve(example.getValue())),
          block(example.getKey()),
          example.getValue());
    }
  }

  private static String block(String language) throws IOException {
    Matcher matcher =
        Pattern.compile("^```" + language + "\\n(.*?)^```$", Pattern.DOTALL | Pattern.MULTILINE)
            .matcher(Files.readString(ROOT.resolve("README.md")));
    assertTrue(matcher.find(), "README.md has no block of " + language);
    return matcher.group(1);
  }
}
