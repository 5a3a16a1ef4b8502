package org.sightline.formats;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonParser;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Text of files on a terminal. */
class PrintableTest {
  @ParameterizedTest
  @CsvSource({
    "001b, \\u001b",
    "0007, \\u0007",
    "0000, \\u0000",
    "000a, \\n",
    "000d, \\r",
    "0009, \\t",
    "007f, \\u007f",
    "009b, \\u009b", // A terminal takes it for ESC [.
    "202e, \\u202e", // Right to left from here.
    "2066, \\u2066",
    "200f, \\u200f",
    "feff, \\ufeff",
    "2028, \\u2028",
    "d800, \\ud800",
    "e0041, \\udb40\\udc41", // A letter that cannot be seen.
  })
  void whatMovesOrHidesTextIsEscaped(String code, String expected) {
    String text = "a" + Character.toString(Integer.parseInt(code, 16)) + "b";
    assertEquals("a" + expected + "b", Printable.of(text));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "plain", "greift den Löffel", "つかむ", "🤖 \\ \" ' $x", "א ב"})
  void otherTextStays(String text) {
    assertEquals(text, Printable.of(text));
    assertEquals(text, Printable.lines(text));
  }

  @Test
  void jsonStaysItself() {
    String value = "\u009b\u202e\u001b\n\ud83e\udd16";
    var json = new com.google.gson.JsonObject();
    json.addProperty("key", value);
    String printed =
        Printable.lines(
            new com.google.gson.GsonBuilder().setPrettyPrinting().create().toJson(json));
    assertEquals("{\n  \"key\": \"\\u009b\\u202e\\u001b\\n\ud83e\udd16\"\n}", printed);
    assertEquals(value, JsonParser.parseString(printed).getAsJsonObject().get("key").getAsString());
  }

  @Test
  void anErrorsLinesAreItsOwn() {
    Path file = Path.of("m\n.safetensors");
    assertEquals(
        "m\\n.safetensors: t\\u001b[31m\\nOK: found \\r, expected 1",
        new FormatException(file, "t\u001b[31m\nOK", "\r", "1").getMessage());
    assertEquals(
        "m\\n.safetensors: tensors\n  a\\nb\n  c",
        new FormatException(file, "tensors", List.of("a\nb", "c")).getMessage());
  }
}
