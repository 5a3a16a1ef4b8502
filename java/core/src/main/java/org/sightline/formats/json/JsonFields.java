package org.sightline.formats.json;

import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.function.Predicate;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.InputFile;

/**
 * An object of a JSON file with typed access; errors name the file, the line and column or the key,
 * what was found and what was expected. All JSON that users hand in is read through here.
 *
 * @param prefix of keys in errors, with its trailing dot: {@code "text_config."}
 */
public record JsonFields(Path file, String prefix, JsonObject json) {
  private static final int MAX_FOUND = 100;

  /**
   * Reads a file, strictly as RFC 8259 has it but for NaN, Infinity and -Infinity, which are errors
   * where they are asked for.
   *
   * @throws FormatException if it is no JSON object
   */
  public static JsonFields read(Path file) throws IOException {
    return of(file, "", JsonText.read(file));
  }

  /**
   * Parses a text that is a part of a file, such as an entry of a safetensors file's metadata.
   *
   * @param where the part, for errors; empty for the whole file
   * @throws FormatException as {@link #read}
   */
  public static JsonFields of(Path file, String where, String text) throws FormatException {
    JsonElement root = JsonText.parse(file, where, text);
    if (!root.isJsonObject()) {
      throw new FormatException(
          file, where.isEmpty() ? "document" : where, abbreviated(root), "a JSON object");
    }
    return new JsonFields(file, where.isEmpty() ? "" : where + ".", root.getAsJsonObject());
  }

  /** In the order of the file. */
  public Set<String> keys() {
    return json.keySet();
  }

  public boolean has(String key) {
    return json.has(key) && !json.get(key).isJsonNull();
  }

  public JsonFields object(String key) throws FormatException {
    if (!has(key) || !json.get(key).isJsonObject()) {
      throw wrong(key, "an object");
    }
    return new JsonFields(file, prefix + key + ".", json.getAsJsonObject(key));
  }

  /** The elements of a list of objects. */
  public List<JsonFields> objects(String key) throws FormatException {
    List<JsonObject> elements =
        list(key, "objects", JsonElement::isJsonObject, JsonElement::getAsJsonObject);
    List<JsonFields> objects = new ArrayList<>();
    for (JsonObject element : elements) {
      objects.add(new JsonFields(file, prefix + key + "[" + objects.size() + "].", element));
    }
    return objects;
  }

  public List<String> strings(String key) throws FormatException {
    return list(key, "strings", JsonFields::isString, JsonElement::getAsString);
  }

  public List<Double> numbers(String key) throws FormatException {
    return list(key, "finite numbers", JsonFields::isFinite, JsonElement::getAsDouble);
  }

  public List<Boolean> bools(String key) throws FormatException {
    return list(key, "booleans", JsonFields::isBoolean, JsonElement::getAsBoolean);
  }

  /**
   * A list of 64-bit integers: numbers, or texts of digits, as which Protocol Buffers write them.
   */
  public List<Long> longs(String key) throws FormatException {
    return list(key, "integers", e -> parseLong(e).isPresent(), e -> parseLong(e).orElseThrow());
  }

  private <T> List<T> list(
      String key, String kind, Predicate<JsonElement> accepts, Function<JsonElement, T> read)
      throws FormatException {
    List<T> values = new ArrayList<>();
    for (JsonElement element : array(key)) {
      if (!accepts.test(element)) {
        throw wrong(key, "a list of " + kind);
      }
      values.add(read.apply(element));
    }
    return values;
  }

  /** A 64-bit integer, as in {@link #longs}. */
  public long longInteger(String key) throws FormatException {
    JsonElement value = has(key) ? json.get(key) : JsonNull.INSTANCE;
    return parseLong(value).orElseThrow(() -> wrong(key, "an integer of 64 bits"));
  }

  private static Optional<Long> parseLong(JsonElement value) {
    try {
      return Optional.of(Long.parseLong(value.isJsonPrimitive() ? value.getAsString() : ""));
    } catch (NumberFormatException e) {
      return Optional.empty();
    }
  }

  private Iterable<JsonElement> array(String key) throws FormatException {
    if (!has(key) || !json.get(key).isJsonArray()) {
      throw wrong(key, "a list");
    }
    return json.getAsJsonArray(key);
  }

  public int integer(String key) throws FormatException {
    double value = number(key);
    if (value != Math.rint(value) || Math.abs(value) > Integer.MAX_VALUE) {
      throw wrong(key, "an integer");
    }
    return (int) value;
  }

  public int integer(String key, int absent) throws FormatException {
    return has(key) ? integer(key) : absent;
  }

  public double number(String key) throws FormatException {
    if (!has(key) || !isNumber(json.get(key))) {
      throw wrong(key, "a number");
    }
    if (!isFinite(json.get(key))) {
      throw wrong(key, "a finite number");
    }
    return json.get(key).getAsDouble();
  }

  public double number(String key, double absent) throws FormatException {
    return has(key) ? number(key) : absent;
  }

  public boolean bool(String key) throws FormatException {
    if (!has(key) || !isBoolean(json.get(key))) {
      throw wrong(key, "true or false");
    }
    return json.get(key).getAsBoolean();
  }

  public boolean bool(String key, boolean absent) throws FormatException {
    return has(key) ? bool(key) : absent;
  }

  public String text(String key) throws FormatException {
    if (!has(key) || !isString(json.get(key))) {
      throw wrong(key, "a string");
    }
    return json.get(key).getAsString();
  }

  public String text(String key, String absent) throws FormatException {
    return has(key) ? text(key) : absent;
  }

  /** The name of a file, or a part of one, in a folder that it has no say over. */
  public String plainName(String key) throws FormatException {
    if (!InputFile.isPlainName(text(key))) {
      throw wrong(key, "a plain name, without / and \\");
    }
    return text(key);
  }

  /** For what is divided by. */
  public int positive(String key, int absent) throws FormatException {
    int value = integer(key, absent);
    if (value < 1) {
      throw wrong(key, "at least 1");
    }
    return value;
  }

  /** Passes if a key that may be absent has the one value the model can be run with. */
  public void require(String key, Object found, Object expected) throws FormatException {
    if (!expected.equals(found)) {
      throw wrong(key, String.valueOf(expected));
    }
  }

  public FormatException wrong(String key, String expected) {
    JsonElement value = json.get(key);
    return new FormatException(
        file, prefix + key, value == null ? "no such key" : abbreviated(value), expected);
  }

  /** A message is no place for a whole vocabulary. */
  private static String abbreviated(JsonElement value) {
    String text = value.toString();
    return text.length() <= MAX_FOUND ? text : text.substring(0, MAX_FOUND) + "…";
  }

  private static boolean isNumber(JsonElement value) {
    return value.isJsonPrimitive() && value.getAsJsonPrimitive().isNumber();
  }

  private static boolean isFinite(JsonElement value) {
    return isNumber(value) && Double.isFinite(value.getAsDouble());
  }

  private static boolean isString(JsonElement value) {
    return value.isJsonPrimitive() && value.getAsJsonPrimitive().isString();
  }

  private static boolean isBoolean(JsonElement value) {
    return value.isJsonPrimitive() && value.getAsJsonPrimitive().isBoolean();
  }
}
