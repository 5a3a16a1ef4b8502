package org.sightline.formats;

import com.google.gson.JsonElement;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Text that must be JSON (RFC 8259), and a description of the place where it is not. */
final class JsonText {
  private JsonText() {}

  /**
   * The text of a file.
   *
   * @throws FormatException if it is a folder or not UTF-8, which {@link Files} says without a name
   */
  static String read(Path file) throws IOException {
    if (Files.isDirectory(file)) {
      throw new FormatException(file, "document", "a folder", "a JSON file");
    }
    try {
      return Files.readString(file);
    } catch (CharacterCodingException e) {
      throw new FormatException(file, "document", "bytes that are not UTF-8", "UTF-8 text");
    }
  }

  /**
   * Parses a text, strictly: what Gson passes over unasked (single quotes, comments, bare words, a
   * comma too many) is refused.
   *
   * @param where the text stands in the file, for errors; empty for all of it
   * @throws FormatException naming line and column, what was found and what was expected
   */
  static JsonElement parse(Path file, String where, String text) throws FormatException {
    JsonReader reader = new JsonReader(new StringReader(text));
    reader.setStrictness(Strictness.STRICT);
    try {
      if (!text.isBlank()) { // Which is null to Gson.
        JsonElement parsed = JsonParser.parseReader(reader);
        if (reader.peek() == JsonToken.END_DOCUMENT) {
          return parsed;
        }
      }
    } catch (JsonParseException | IOException e) {
      // Gson's message is for programmers; the place is found again, and told to the user.
    }
    throw malformed(file, where, text);
  }

  /** The error for a text that a strict reader refused. */
  static FormatException malformed(Path file, String where, String text) {
    JsonDefect defect = JsonDefect.first(text);
    String place = "line %d, column %d".formatted(defect.line(), defect.column());
    return new FormatException(
        file, where.isEmpty() ? place : where + ", " + place, defect.found(), defect.expected());
  }
}
