package org.sightline.vla.policy.rest;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.json.JsonText;
import org.sightline.vla.data.image.RgbImage;

/** Arrays in JSON as the Python package json-numpy writes them: bytes in base 64, dtype, shape. */
final class NumpyJson {
  private static final String DATA = "__numpy__";

  private NumpyJson() {}

  /** uint8 [height,width,3]. */
  static JsonObject of(RgbImage image) {
    return object(image.pixels(), "|u1", image.height(), image.width(), 3);
  }

  /** float64 [n], as NumPy computes; finite ones. */
  static JsonObject of(float[] values) {
    ByteBuffer bytes = ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    for (float value : values) {
      if (!Float.isFinite(value)) {
        throw new IllegalStateException("the action must be finite, found " + value);
      }
      bytes.putDouble(value);
    }
    return object(bytes.array(), "<f8", values.length);
  }

  private static JsonObject object(byte[] bytes, String dtype, int... shape) {
    JsonObject object = new JsonObject();
    object.addProperty(DATA, Base64.getEncoder().encodeToString(bytes));
    object.addProperty("dtype", dtype);
    JsonArray sizes = new JsonArray();
    for (int size : shape) {
      sizes.add(size);
    }
    object.add("shape", sizes);
    return object;
  }

  /** An image, under the key {@code image}. */
  static RgbImage image(JsonFields request) throws FormatException {
    JsonFields array = request.object("image");
    List<Long> shape = array.longs("shape");
    if (!array.text("dtype").equals("|u1") || shape.size() != 3 || shape.get(2) != 3) {
      throw request.wrong("image", "uint8 [height,width,3]");
    }
    byte[] pixels = bytes(array, 1);
    return new RgbImage(shape.get(1).intValue(), shape.get(0).intValue(), pixels);
  }

  /**
   * Finite numbers: an array of json-numpy's of f4 or f8, a plain JSON array, or either as a
   * string, as servers send it to those that have no json-numpy.
   */
  static float[] numbers(JsonFields answer, String key) throws FormatException {
    JsonElement element = answer.json().get(key);
    if (element instanceof JsonPrimitive text && text.isString()) {
      return numbers(holding(answer.file(), key, text.getAsString()), key);
    }
    float[] values;
    if (element instanceof JsonArray) {
      List<Double> plain = answer.numbers(key);
      values = new float[plain.size()];
      for (int i = 0; i < values.length; i++) {
        values[i] = plain.get(i).floatValue();
      }
    } else {
      JsonFields array = answer.object(key);
      String dtype = array.text("dtype");
      if (!dtype.equals("<f8") && !dtype.equals("<f4")) {
        throw array.wrong("dtype", "\"<f4\" or \"<f8\"");
      }
      int width = dtype.charAt(2) - '0';
      ByteBuffer bytes = ByteBuffer.wrap(bytes(array, width)).order(ByteOrder.LITTLE_ENDIAN);
      values = new float[bytes.remaining() / width];
      for (int i = 0; i < values.length; i++) {
        values[i] = width == 8 ? (float) bytes.getDouble() : bytes.getFloat();
      }
    }
    for (float value : values) {
      if (!Float.isFinite(value)) {
        throw new FormatException(answer.file(), key, "" + value, "finite numbers");
      }
    }
    return values;
  }

  /** An object of one value, a whole JSON text, as the readers of objects take it. */
  static JsonFields holding(Path what, String key, String text) throws FormatException {
    JsonObject object = new JsonObject();
    object.add(key, JsonText.parse(what, "", text));
    return new JsonFields(what, "", object);
  }

  /** As many as the shape says. */
  private static byte[] bytes(JsonFields array, int width) throws FormatException {
    byte[] bytes;
    try {
      bytes = Base64.getDecoder().decode(array.text(DATA));
    } catch (IllegalArgumentException e) {
      throw array.wrong(DATA, "base 64");
    }
    double expected = width; // Does not wrap.
    for (long size : array.longs("shape")) {
      expected = size < 1 ? Double.NaN : expected * size;
    }
    if (bytes.length != expected) {
      throw array.wrong("shape", "that of %d bytes".formatted(bytes.length));
    }
    return bytes;
  }
}
