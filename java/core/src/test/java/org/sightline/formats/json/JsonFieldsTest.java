package org.sightline.formats.json;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.formats.FormatException;

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
        "`` | 1 | 1 | nothing | a value",
        "` ~ ` | 2 | 2 | nothing | a value",
        "{ | 1 | 2 | unexpected end-of-input | close marker for Object",
        "{~  \"a\": 1,~} | 3 | 1 | unexpected character ('}') | double-quote to start field name",
        "{~  \"a\" 1~} | 2 | 7 | unexpected character ('1') | a colon to separate field name and value",
        "{\"a\": 1 \"b\": 2} | 1 | 9 | unexpected character ('\"') | comma to separate Object entries",
        "{\"a\": [1,~2~3]} | 3 | 1 | unexpected character ('3') | comma to separate Array entries",
        "{\"a\": [1,]} | 1 | 10 | unexpected character (']') | a value",
        "{\"a\": {\"c\": [1, | 1 | 16 | unexpected end-of-input within/between Array entries | JSON",
        "{a: 1} | 1 | 2 | unexpected character ('a') | double-quote to start field name",
        "{'a': 1} | 1 | 2 | unexpected character (''') | double-quote to start field name",
        "{\"a\": True} | 1 | 11 | unrecognized token 'True' | a value",
        "{\"a\":~ nan} | 2 | 5 | unrecognized token 'nan' | a value",
        "{\"a\": +Infinity} | 1 | 16 | '+Infinity' | a number",
        "{\"a\": [NaN~2]} | 2 | 1 | unexpected character ('2') | comma to separate Array entries",
        "{NaN: 1} | 1 | 2 | unexpected character ('N') | double-quote to start field name",
        "{\"a\":} | 1 | 6 | unexpected character ('}') | a value",
        "{\"a\": 01} | 1 | 8 | invalid numeric value: Leading zeroes not allowed | JSON",
        "{\"a\": 1.} | 1 | 8 | unexpected character ('}') in numeric value: Decimal point not followed by a digit | JSON",
        "{\"a\": 12ab} | 1 | 9 | unexpected character ('a') | comma to separate Object entries",
        "{\"a\": \"b~\"} | 1 | 9 | illegal unquoted character ((CTRL-CHAR, code 10)): has to be escaped using backslash to be included in string value | JSON",
        "{\"a\": \"b | 1 | 9 | unexpected end-of-input | closing quote for a string value",
        "{\"a\": \"\\q\"} | 1 | 9 | unrecognized character escape 'q' | JSON",
        "{\"a\": 1}~ x | 2 | 3 | unrecognized token 'x' | a value",
        "// who~{} | 1 | 1 | unexpected character ('/'): maybe a (non-standard) comment? | JSON",
        "abcdefghijklmnopqrstuvw | 1 | 24 | unrecognized token 'abcdefghijklmnopqrstuvw' | a value",
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
    assertEquals(
        "line 1, column 2: found unexpected character ('x'), expected double-quote to start field name",
        refused(file));
    Files.writeString(file, "[" + "1,".repeat(400) + "1]");
    assertTrue(refused(file).length() < 160, refused(file));
    Files.write(file, new byte[] {'{', (byte) 0xff, '}'});
    assertEquals("document: found bytes that are not UTF-8, expected UTF-8 text", refused(file));
    assertEquals("document: found a folder, expected a file", refused(folder));
    FormatException part =
        assertThrows(FormatException.class, () -> JsonFields.of(file, "part", "{\"a\":~}"));
    assertEquals(
        file + ": part, line 1, column 6: found unexpected character ('~'), expected a value",
        part.getMessage());
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
}
