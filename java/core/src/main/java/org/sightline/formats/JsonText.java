package org.sightline.formats;

import com.google.gson.JsonElement;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Text that must be JSON (RFC 8259), and a description of the place where it is not. */
final class JsonText {
  private static final String MARK = "\uFFFFnot finite "; // U+FFFF is no character of any text.

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
    GitLfs.requireContent(file);
    try {
      return Files.readString(file);
    } catch (CharacterCodingException e) {
      throw new FormatException(file, "document", "bytes that are not UTF-8", "UTF-8 text");
    }
  }

  /**
   * Parses a text, strictly: what Gson passes over unasked (single quotes, comments, bare words, a
   * comma too many) is refused. Only NaN, Infinity and -Infinity are let in: Python's {@code
   * json.dump} writes them, and a file is not unusable for a number that nobody reads.
   *
   * @param where the text stands in the file, for errors; empty for all of it
   * @throws FormatException naming line and column, what was found and what was expected
   */
  static JsonElement parse(Path file, String where, String text) throws FormatException {
    JsonElement parsed = parse(text);
    if (parsed == null) {
      List<String> pieces = JsonDefect.aroundNotFinite(text);
      parsed = pieces.size() == 1 ? null : parse(quoted(pieces));
      if (parsed == null) {
        throw malformed(file, where, text);
      }
      parsed = unquoted(parsed);
    }
    return parsed;
  }

  /** Null for what is no JSON: Gson's message is for programmers, the place is found again. */
  private static JsonElement parse(String text) {
    JsonReader reader = new JsonReader(new StringReader(text));
    reader.setStrictness(Strictness.STRICT);
    try {
      if (!text.isBlank()) { // Which is null to Gson.
        JsonElement parsed = JsonParser.parseReader(reader);
        return reader.peek() == JsonToken.END_DOCUMENT ? parsed : null;
      }
    } catch (JsonParseException | IOException e) {
      return null;
    }
    return null;
  }

  /** Every other piece is a number that is not finite; as strings Gson lets them through. */
  private static String quoted(List<String> pieces) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < pieces.size(); i++) {
      text.append(i % 2 == 0 ? pieces.get(i) : "\"" + MARK + pieces.get(i) + '"');
    }
    return text.toString();
  }

  private static JsonElement unquoted(JsonElement value) {
    if (value.isJsonObject()) {
      value.getAsJsonObject().asMap().replaceAll((key, child) -> unquoted(child));
    } else if (value.isJsonArray()) {
      value.getAsJsonArray().asList().replaceAll(JsonText::unquoted);
    } else if (value.isJsonPrimitive() && value.getAsString().startsWith(MARK)) {
      return new JsonPrimitive(Double.valueOf(value.getAsString().substring(MARK.length())));
    }
    return value;
  }

  /** The error for a text that a strict reader refused. */
  static FormatException malformed(Path file, String where, String text) {
    JsonDefect defect = JsonDefect.first(text);
    String place = "line %d, column %d".formatted(defect.line(), defect.column());
    return new FormatException(
        file, where.isEmpty() ? place : where + ", " + place, defect.found(), defect.expected());
  }
}
