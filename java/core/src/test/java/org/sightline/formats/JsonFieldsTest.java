package org.sightline.formats;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class JsonFieldsTest {
  private static final String SAMPLE =
      """
      {"a": [1, -0.5, 2e-3, {}, []], "text": "x\\u00e9 \\n \\"q\\"",
       "b": {"on": true, "off": false, "none": null, "longs": ["7", -1]}}
      """;

  @TempDir Path folder;

  private static String refused(Path file) {
    String message = assertThrows(FormatException.class, () -> JsonFields.read(file)).getMessage();
    assertTrue(message.startsWith(file + ": "), message);
    return message.substring((file + ": ").length());
  }

  /** {@code ~} stands for a line's end. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "``                   | 1 | 1  | the end of the text  | a value",
        "` ~ `                | 2 | 2  | the end of the text  | a value",
        "{                    | 1 | 2  | the end of the text  | a key in double quotes",
        "{~  \"a\": 1,~}      | 3 | 1  | '}'                  | a key in double quotes",
        "{~  \"a\" 1~}        | 2 | 7  | '1'                  | ':' after the key",
        "{\"a\": 1 \"b\": 2}  | 1 | 9  | '\"'                 | ',' or '}'",
        "{\"a\": [1,~2~3]}    | 3 | 1  | '3'                  | ',' or ']'",
        "{\"a\": [1,]}        | 1 | 10 | ']'                  | a value",
        "{\"a\": {\"c\": [1, | 1 | 16 | the end of the text  | a value",
        "{a: 1}               | 1 | 2  | 'a'                  | a key in double quotes",
        "{'a': 1}             | 1 | 2  | a single quote       | a key in double quotes",
        "{\"a\": True}        | 1 | 7  | 'True'               | a value",
        "{\"a\":~ nan}        | 2 | 2  | 'nan'                | a value",
        "{\"a\": +Infinity}   | 1 | 7  | '+Infinity'          | a value",
        "{\"a\": [NaN~2]}     | 2 | 1  | '2'                  | ',' or ']'",
        "{NaN: 1}             | 1 | 2  | 'NaN'                | a key in double quotes",
        "{\"a\":}             | 1 | 6  | '}'                  | a value",
        "{\"a\": 01}          | 1 | 7  | '01'                 | a number such as 1, -0.5 or 2e-3",
        "{\"a\": 1.}          | 1 | 7  | '1.'                 | a number such as 1, -0.5 or 2e-3",
        "{\"a\": 12ab}        | 1 | 7  | '12ab'               | a number such as 1, -0.5 or 2e-3",
        "{\"a\": \"b~\"}      | 1 | 9  | the end of the line  | the '\"' that ends the string",
        "{\"a\": \"b          | 1 | 9  | the end of the text  | the '\"' that ends the string",
        "{\"a\": \"\\q\"}     | 1 | 8  | '\\'                 | one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX",
        "{\"a\": 1}~ x        | 2 | 2  | 'x'                  | the end of the document",
        "// who~{}            | 1 | 1  | '/'                  | a value",
        "abcdefghijklmnopqrstuvw | 1 | 1 | 'abcdefghijklmnopqrst…' | a value",
      })
  void thePlaceIsNamed(String text, int line, int column, String found, String expected)
      throws IOException {
    Path file = Files.writeString(folder.resolve("x.json"), text.replace('~', '\n'));
    assertEquals(
        "line %d, column %d: found %s, expected %s".formatted(line, column, found, expected),
        refused(file));
  }

  @Test
  void whatIsNoTextOrNoObjectIsNamed() throws IOException {
    Path file = Files.writeString(folder.resolve("x.json"), "\uFEFF[1, 2]");
    assertEquals("document: found [1,2], expected a JSON object", refused(file));
    Files.writeString(file, "\uFEFF{x}");
    assertEquals("line 1, column 3: found 'x', expected a key in double quotes", refused(file));
    Files.writeString(file, "[" + "1,".repeat(400) + "1]");
    assertTrue(refused(file).length() < 160, refused(file));
    Files.write(file, new byte[] {'{', (byte) 0xff, '}'});
    assertEquals("document: found bytes that are not UTF-8, expected UTF-8 text", refused(file));
    assertEquals("document: found a folder, expected a JSON file", refused(folder));
    FormatException part =
        assertThrows(FormatException.class, () -> JsonFields.of(file, "part", "{\"a\":~}"));
    assertEquals(file + ": part, line 1, column 6: found '~', expected a value", part.getMessage());
  }

  @Test
  void valuesAreReadWithTheirTypes() throws IOException {
    JsonFields root = JsonFields.read(Files.writeString(folder.resolve("x.json"), SAMPLE));
    assertEquals(List.of("a", "text", "b"), List.copyOf(root.keys()));
    assertEquals("x\u00e9 \n \"q\"", root.text("text"));
    JsonFields b = root.object("b");
    assertTrue(b.bool("on") && !b.bool("off"));
    assertEquals(List.of(7L, -1L), b.longs("longs"));
    for (String key : List.of("none", "longs", "absent")) {
      FormatException e = assertThrows(FormatException.class, () -> b.bool(key));
      assertTrue(
          e.getMessage().contains(": b." + key + ": found ")
              && e.getMessage().endsWith(", expected true or false"),
          e.getMessage());
    }
    FormatException longs = assertThrows(FormatException.class, () -> root.longs("a"));
    assertTrue(longs.getMessage().endsWith(", expected a list of integers"), longs.getMessage());
    FormatException bools = assertThrows(FormatException.class, () -> b.bools("longs"));
    assertTrue(bools.getMessage().endsWith(", expected a list of booleans"), bools.getMessage());
  }

  /** Python's json.dump writes them; what is not read harms nobody, and is written as it was. */
  @Test
  void numbersThatAreNotFiniteAreRefusedOnlyWhereTheyAreRead() throws IOException {
    String text =
        "{\"a\": [0.5, -Infinity], \"b\": {\"c\": NaN, \"d\": 2}, \"e\": \"NaN, Infinity\", \"f\": 1e999}";
    JsonFields root = JsonFields.read(Files.writeString(folder.resolve("x.json"), text));
    assertEquals(2, root.object("b").integer("d"));
    assertEquals("NaN, Infinity", root.text("e"));
    assertEquals(text.replace(" ", "").replace("NaN,I", "NaN, I"), root.json().toString());
    for (String[] row :
        new String[][] {
          {"b.c", "NaN", "a finite number"},
          {"f", "1e999", "a finite number"},
          {"a", "[0.5,-Infinity]", "a list of finite numbers"},
        }) {
      FormatException e =
          assertThrows(
              FormatException.class,
              () -> {
                switch (row[0]) {
                  case "a" -> root.numbers("a");
                  case "f" -> root.number("f", 0);
                  default -> root.object("b").number("c");
                }
              });
      assertTrue(
          e.getMessage().endsWith(": %s: found %s, expected %s".formatted((Object[]) row)),
          e.getMessage());
    }
  }

  /** The description has a grammar of its own: it must agree with Gson's on what JSON is. */
  @Test
  void defectsAreFoundWhereverGsonRefuses() {
    String alphabet = "{}[]\",:\\ \n\t/'0123456789-+.eEtrufalsn\u00e9\u0001#;=x";
    Random random = new Random(5);
    int refused = 0;
    for (int i = 0; i < 30_000; i++) {
      StringBuilder text = new StringBuilder(SAMPLE);
      for (int edits = 1 + random.nextInt(2); edits > 0; edits--) {
        int at = random.nextInt(text.length());
        switch (random.nextInt(4)) {
          case 0 -> text.deleteCharAt(at);
          case 1 -> text.insert(at, alphabet.charAt(random.nextInt(alphabet.length())));
          case 2 -> text.setCharAt(at, alphabet.charAt(random.nextInt(alphabet.length())));
          default -> text.setLength(at + 1);
        }
      }
      refused += agree(text.toString()) ? 0 : 1;
    }
    assertTrue(refused > 10_000, refused + " refused");
    assertTrue(agree("[".repeat(255) + "]".repeat(255)));
    assertTrue(!agree("[".repeat(256) + "]".repeat(256)));
  }

  /** Whether both take a text for JSON. */
  private static boolean agree(String text) {
    JsonDefect defect = JsonDefect.first(text);
    boolean json = isJson(text);
    assertEquals(json, defect.expected().equals("a JSON document"), () -> text + "\n" + defect);
    if (!json) { // What stands before the place was right: without the rest only an end is wrong.
      int line = 1;
      int begin = 0;
      for (; line < defect.line(); line++) {
        begin = text.indexOf('\n', begin) + 1;
      }
      String before = text.substring(0, begin + defect.column() - 1);
      assertEquals("the end of the text", JsonDefect.first(before).found(), text);
    }
    return json;
  }

  private static boolean isJson(String text) {
    JsonReader reader = new JsonReader(new StringReader(text));
    reader.setStrictness(Strictness.STRICT);
    try {
      JsonParser.parseReader(reader);
      return !text.isBlank() && reader.peek() == JsonToken.END_DOCUMENT;
    } catch (JsonParseException | IOException e) {
      return false;
    }
  }
}
