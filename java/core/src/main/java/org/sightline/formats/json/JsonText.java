package org.sightline.formats.json;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonFactoryBuilder;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.gson.internal.LazilyParsedNumber;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.GitLfs;
import org.sightline.formats.file.InputFile;

/**
 * Text that must be JSON (RFC 8259). Jackson reads it, because it knows the place of a defect and
 * what would fit there; what it reads are Gson's values.
 */
public final class JsonText {
  /** Names are not kept beyond a document: each file has others. */
  private static final JsonFactory FACTORY =
      new JsonFactoryBuilder()
          .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
          .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .streamReadConstraints(
              StreamReadConstraints.builder()
                  .maxNestingDepth(255)
                  .maxNameLength(Integer.MAX_VALUE)
                  .maxStringLength(Integer.MAX_VALUE)
                  .build())
          .build();

  private static final Set<String> NOT_FINITE = Set.of("NaN", "Infinity", "-Infinity");

  private static final Pattern EXPECTING =
      Pattern.compile("(.*?): (?:was expecting|expected) (.*)", Pattern.DOTALL);

  /** What a message says of Jackson's sources and options. */
  private static final String ASIDE =
      "(?s) ?\\((start marker|for |not recog).*| ?\\((or 'NaN'|code ).*?\\)|, from `.*?`|\n.*";

  private static final String ANY_VALUE = "^(a valid value )?\\(JSON String.*";

  private JsonText() {}

  /**
   * The text of a file.
   *
   * @throws FormatException if it is no file or not UTF-8
   */
  static String read(Path file) throws IOException {
    GitLfs.requireContent(file);
    return InputFile.text(file);
  }

  /**
   * Parses a text, strictly. Only NaN, Infinity and -Infinity are let in: Python's {@code
   * json.dump} writes them, and a file is not unusable for a number that nobody reads.
   *
   * @param where the text stands in the file, for errors; empty for all of it
   * @throws FormatException naming line and column, what was found and what was expected
   */
  public static JsonElement parse(Path file, String where, String text) throws FormatException {
    String json = text.startsWith("\uFEFF") ? text.substring(1) : text; // A byte order mark.
    try (JsonParser parser = FACTORY.createParser(json)) {
      if (parser.nextToken() == null) {
        throw new JsonParseException(parser, "nothing: expected a value");
      }
      JsonElement value = value(parser);
      if (parser.nextToken() != null) {
        throw new JsonParseException(parser, "more: expected the end of the document");
      }
      return value;
    } catch (JsonProcessingException e) {
      throw defect(file, where, e);
    } catch (IOException e) {
      throw new IllegalStateException("a text in memory cannot fail to be read", e);
    }
  }

  private static JsonElement value(JsonParser parser) throws IOException {
    switch (parser.currentToken()) {
      case START_OBJECT -> {
        JsonObject object = new JsonObject();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
          String name = parser.currentName();
          parser.nextToken();
          object.add(name, value(parser));
        }
        return object;
      }
      case START_ARRAY -> {
        JsonArray array = new JsonArray();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          array.add(value(parser));
        }
        return array;
      }
      case VALUE_STRING -> {
        return new JsonPrimitive(parser.getText());
      }
      case VALUE_TRUE, VALUE_FALSE -> {
        return new JsonPrimitive(parser.getBooleanValue());
      }
      case VALUE_NULL -> {
        return JsonNull.INSTANCE;
      }
      default -> {
        return number(parser);
      }
    }
  }

  /** As it is written: no digit is lost, and nobody may ever read it. */
  private static JsonPrimitive number(JsonParser parser) throws IOException {
    String text = parser.getText();
    if (NOT_FINITE.contains(text)) {
      return new JsonPrimitive(Double.valueOf(text));
    }
    if (parser.currentToken() == JsonToken.VALUE_NUMBER_FLOAT
        && parser.isNaN()
        && !isDigits(text)) {
      throw new JsonParseException(parser, "'%s': expected a number".formatted(text));
    }
    return new JsonPrimitive(new LazilyParsedNumber(text));
  }

  private static boolean isDigits(String text) {
    return Character.isDigit(text.charAt(text.length() - 1));
  }

  /** Jackson's words, "Unexpected character ('x'): was expecting …", as ours are ordered. */
  private static FormatException defect(Path file, String where, JsonProcessingException e) {
    JsonLocation at = e.getLocation(); // Null where a limit was passed.
    String place =
        at == null ? "document" : "line %d, column %d".formatted(at.getLineNr(), at.getColumnNr());
    String said = e.getOriginalMessage().replaceAll(ASIDE, "");
    Matcher parts = EXPECTING.matcher(said);
    boolean known = parts.matches();
    String found = known ? parts.group(1) : said;
    return new FormatException(
        file,
        where.isEmpty() ? place : where + ", " + place,
        Character.toLowerCase(found.charAt(0)) + found.substring(1),
        known ? parts.group(2).replaceFirst(ANY_VALUE, "a value") : "JSON");
  }

  /** The error for a text that a strict reader refused. */
  public static FormatException malformed(Path file, String where, String text) {
    try {
      parse(file, where, text);
      return new FormatException(file, where, "a text", "a JSON document");
    } catch (FormatException e) {
      return e;
    }
  }
}
