package org.sightline.formats.peft;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.formats.FormatException;

/** Expressions out of an adapter's configuration: as Python reads them, and in bounded time. */
class PythonRegexTest {
  private static final Duration AT_ONCE = Duration.ofSeconds(20);

  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource(
      delimiter = '~',
      quoteCharacter = '`',
      value = {
        "(a+)+$ ~ a ~ true",
        "a\\Z ~ a ~ true",
        "a\\Z ~ ab ~ false",
        "a\\\\Z ~ a\\Z ~ true",
        "(?P<n>a)b ~ ab ~ true",
        "(?:a|b){1,2}c ~ abc ~ true",
        "[a&&b] ~ & ~ true",
        "[:.]b ~ :b ~ true",
        "[]a] ~ ] ~ true",
        "\\{,3} ~ {,3} ~ true",
      })
  void readsWhatPythonReads(String expression, String text, boolean matches) {
    assertEquals(matches, PythonRegex.match(expression, text));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "(?=a)", "(?!a)", "(?<=a)", "(a)\\1", "(?P<n>a)(?P=n)", "a++", "(?>a)", "(?x)a", "a**",
        "a{,3}", "\\Qa\\E", "\\pL", "\\z", "\\C", "[[:alpha:]]", "(?iU)a", "(", "a{1001}",
        "(((a{100}){100}){100}){100}", "(((((){1000}){1000}){1000}){1000}){1000}"
      })
  void refusesWhatItWouldReadOtherwiseOrNotInTime(String expression) {
    String message =
        assertTimeoutPreemptively(
            AT_ONCE,
            () ->
                assertThrows(IllegalArgumentException.class, () -> PythonRegex.compile(expression))
                    .getMessage());
    assertTrue(message.startsWith("found \"" + expression + "\", expected "), message);
  }

  /** Against a name as long as a file may have: Java's own engine takes the age of the universe. */
  @ParameterizedTest
  @ValueSource(
      strings = {"(a+)+$", "([a-z_.0-9]+)+!", "(a|a)*!", "(a|b|\\.)*", "(.*)*x", "a*a*a*a*!"})
  void endsAtOnce(String expression) throws IOException {
    String name = "a".repeat(20_000) + ".b";
    for (String key : List.of("target_modules", "exclude_modules", "rank_pattern")) {
      String value = "\"" + expression.replace("\\", "\\\\") + "\"";
      Path file =
          Files.writeString(
              folder.resolve("adapter_config.json"),
              "{\"peft_type\": \"LORA\", \"target_modules\": [\"b\"], \"%s\": %s}"
                  .formatted(key, key.equals("rank_pattern") ? "{" + value + ": 2}" : value)
                  .replace(
                      "\"target_modules\": [\"b\"], \"target_modules\"", "\"target_modules\""));
      PeftConfig config = PeftConfigReader.read(file, List.of(name));
      assertTimeoutPreemptively(AT_ONCE, () -> config.targets().matches(name), key);
      assertTimeoutPreemptively(AT_ONCE, () -> config.loraOf(name), key);
    }
  }

  /** Deep, wide, and many: all end with an answer or a refusal. */
  @Test
  void sizeIsBounded() {
    for (String expression :
        List.of(
            "(".repeat(100_000),
            "(".repeat(1_400) + ")".repeat(1_400),
            "a?".repeat(50_000),
            "(a|)*".repeat(500))) {
      assertTimeoutPreemptively(
          AT_ONCE,
          () ->
              assertTrue(
                  assertThrows(
                          IllegalArgumentException.class, () -> PythonRegex.compile(expression))
                      .getMessage()
                      .contains("expected at most ")));
    }
    String longest = "a?".repeat(1_500);
    assertEquals(true, PythonRegex.match(longest, "a".repeat(2_000)));
  }

  @Test
  void keysOfPatternsAreBoundedTogether() throws IOException {
    StringBuilder keys = new StringBuilder();
    for (int i = 0; i < 20_000; i++) {
      keys.append(i == 0 ? "" : ", ").append("\"layers.%d.q_proj\": 4".formatted(i));
    }
    Path file =
        Files.writeString(
            folder.resolve("adapter_config.json"),
            "{\"peft_type\": \"LORA\", \"rank_pattern\": {" + keys + "}}");
    String message =
        assertThrows(FormatException.class, () -> PeftConfigReader.read(file, List.of("x")))
            .getMessage();
    assertTrue(message.contains("rank_pattern: found 20000 keys of 368890 characters"), message);
  }

  @Test
  void theNumberOfALayerMayBeOfAnySize() throws IOException {
    Path file =
        Files.writeString(
            folder.resolve("adapter_config.json"),
            "{\"peft_type\": \"LORA\", \"target_modules\": [\"q\"], \"layers_to_transform\": [3]}");
    PeftTargets targets = PeftConfigReader.read(file, List.of("x")).targets();
    assertEquals(true, targets.matches("model.layers.003.q"));
    assertEquals(false, targets.matches("model.layers.99999999999.q"));
    assertEquals(false, targets.matches("model.layers." + "9".repeat(10_000) + ".q"));
  }
}
