package org.sightline.vla.policy.rest;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonPrimitive;
import com.google.gson.Strictness;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Base64;
import org.sightline.vla.data.image.RgbImage;

/** Arrays in JSON as the Python package json-numpy writes them: bytes in base 64, dtype, shape. */
final class NumpyJson {
  private static final String DATA = "__numpy__";
  private static final Gson JSON = new GsonBuilder().setStrictness(Strictness.STRICT).create();

  private NumpyJson() {}

  /** uint8 [height,width,3]. */
  static JsonObject of(RgbImage image) {
    return object(image.pixels(), "|u1", image.height(), image.width(), 3);
  }

  /** float64 [n], as NumPy computes. */
  static JsonObject of(float[] values) {
    ByteBuffer bytes = ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
    for (float value : values) {
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

  /**
   * Reads an image.
   *
   * @throws IllegalArgumentException if it is none
   */
  static RgbImage image(JsonElement element) {
    JsonObject object = array("image", element);
    JsonArray shape = object.getAsJsonArray("shape");
    if (!object.get("dtype").getAsString().endsWith("u1")
        || shape.size() != 3
        || shape.get(2).getAsInt() != 3) {
      throw new IllegalArgumentException(
          "image must be uint8 [height,width,3], found %s %s"
              .formatted(object.get("dtype").getAsString(), shape));
    }
    return new RgbImage(shape.get(1).getAsInt(), shape.get(0).getAsInt(), bytes("image", object));
  }

  /**
   * Reads numbers: an array of json-numpy's of f4 or f8, a plain JSON array, or either as a string,
   * as servers send it to those that have no json-numpy.
   *
   * @throws IllegalArgumentException if it is none of these
   */
  static float[] numbers(String name, JsonElement element) {
    if (element instanceof JsonPrimitive text && text.isString()) {
      return numbers(name, parse(name, text.getAsString()));
    }
    if (element instanceof JsonArray plain) {
      float[] values = new float[plain.size()];
      for (int i = 0; i < values.length; i++) {
        JsonElement value = plain.get(i);
        if (!value.isJsonPrimitive() || !value.getAsJsonPrimitive().isNumber()) {
          throw new IllegalArgumentException(
              "%s[%d] must be a number, found %s".formatted(name, i, value));
        }
        values[i] = value.getAsFloat();
      }
      return values;
    }
    JsonObject object = array(name, element);
    String dtype = object.get("dtype").getAsString();
    if (!dtype.equals("<f8") && !dtype.equals("<f4")) {
      throw new IllegalArgumentException(name + " must be <f4 or <f8, found " + dtype);
    }
    ByteBuffer bytes = ByteBuffer.wrap(bytes(name, object)).order(ByteOrder.LITTLE_ENDIAN);
    int width = dtype.endsWith("8") ? 8 : 4;
    float[] values = new float[bytes.remaining() / width];
    for (int i = 0; i < values.length; i++) {
      values[i] = width == 8 ? (float) bytes.getDouble() : bytes.getFloat();
    }
    return values;
  }

  /** A whole JSON text. */
  static JsonElement parse(String name, String text) {
    try {
      return JSON.fromJson(text, JsonElement.class);
    } catch (JsonParseException e) {
      throw new IllegalArgumentException(
          name + " must be JSON, found " + text.substring(0, Math.min(80, text.length())), e);
    }
  }

  private static JsonObject array(String name, JsonElement element) {
    if (!(element instanceof JsonObject object)
        || !object.has(DATA)
        || !object.has("dtype")
        || !(object.get("shape") instanceof JsonArray)) {
      String text = String.valueOf(element);
      throw new IllegalArgumentException(
          "%s must be an array as json-numpy writes it, found %s"
              .formatted(name, text.substring(0, Math.min(80, text.length()))));
    }
    return object;
  }

  /** As many as the shape says. */
  private static byte[] bytes(String name, JsonObject object) {
    byte[] bytes = Base64.getDecoder().decode(object.get(DATA).getAsString());
    long expected = object.get("dtype").getAsString().charAt(2) - '0';
    for (JsonElement size : object.getAsJsonArray("shape")) {
      expected *= size.getAsInt();
    }
    if (bytes.length != expected) {
      throw new IllegalArgumentException(
          "%s must have %d bytes as its shape says, found %d"
              .formatted(name, expected, bytes.length));
    }
    return bytes;
  }
}
