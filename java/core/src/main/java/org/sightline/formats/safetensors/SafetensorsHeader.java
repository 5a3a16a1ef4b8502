package org.sightline.formats.safetensors;

import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import com.google.gson.stream.MalformedJsonException;
import java.io.EOFException;
import java.io.IOException;
import java.io.StringReader;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.Json;
import org.sightline.formats.json.JsonText;

/**
 * The JSON header of a safetensors file: what lies where.
 *
 * @param metadata the free strings under {@code __metadata__}
 * @param tensors the tensors in the order of their bytes
 */
record SafetensorsHeader(Map<String, String> metadata, Map<String, TensorInfo> tensors) {
  static final long MAX_BYTES = 100_000_000;
  static final String METADATA = "__metadata__";
  private static final String INFO_KEYS = "dtype, shape and data_offsets";

  /**
   * Reads and checks a header.
   *
   * @param file named in errors
   * @param bytes the JSON text
   * @param dataBytes the number of bytes that follow the header
   */
  static SafetensorsHeader parse(Path file, ByteBuffer bytes, long dataBytes) throws IOException {
    String json;
    try {
      json = StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
    } catch (CharacterCodingException e) {
      throw new FormatException(file, "header", "bytes that are not UTF-8", "UTF-8 text");
    }
    if (!json.startsWith("{")) {
      String found = json.isEmpty() ? "nothing" : "'" + json.charAt(0) + "'";
      throw new FormatException(file, "header", found, "'{' as its first character");
    }
    JsonReader reader = new JsonReader(new StringReader(json));
    reader.setStrictness(Strictness.STRICT);
    try {
      SafetensorsHeader header = new Parser(file, reader).parse();
      return new SafetensorsHeader(header.metadata, checkLayout(file, header.tensors, dataBytes));
    } catch (MalformedJsonException | EOFException e) {
      throw JsonText.malformed(file, "header", json);
    }
  }

  /** Tensors must tile the data without hole or overlap, each with the bytes its shape asks for. */
  private static Map<String, TensorInfo> checkLayout(
      Path file, Map<String, TensorInfo> tensors, long dataBytes) throws FormatException {
    List<TensorInfo> byOffset = new ArrayList<>(tensors.values());
    byOffset.sort(Comparator.comparingLong(TensorInfo::begin).thenComparingLong(TensorInfo::end));
    Map<String, TensorInfo> ordered = new LinkedHashMap<>();
    long next = 0;
    for (TensorInfo info : byOffset) {
      if (info.begin() != next) {
        throw new FormatException(
            file,
            info.name() + ": data_offsets",
            info.offsets(),
            "to begin at " + next + ", where the tensor before it ends");
      }
      long size = info.sizeInBytes();
      if (size < 0 || info.end() - info.begin() != size) {
        throw new FormatException(
            file,
            info.name() + ": data_offsets",
            info.offsets(),
            (size < 0 ? "a size that fits 63 bits" : size + " bytes")
                + (" for " + info.type() + " " + info.shape()));
      }
      next = info.end();
      ordered.put(info.name(), info);
    }
    if (next != dataBytes) {
      throw new FormatException(
          file,
          "data",
          dataBytes + " bytes after the header",
          next + " bytes, the end of the last tensor");
    }
    return ordered;
  }

  /**
   * Lays tensors out as the official writer does: by type from the last to the first, then name.
   */
  static SafetensorsHeader layOut(Map<String, String> metadata, Collection<TensorInfo> infos) {
    Comparator<TensorInfo> byType = Comparator.comparing(TensorInfo::type);
    Map<String, TensorInfo> tensors = new LinkedHashMap<>();
    long next = 0;
    for (TensorInfo open :
        infos.stream()
            .sorted(byType.reversed().thenComparing(TensorInfo::name, Json.UTF8_ORDER))
            .toList()) {
      TensorInfo info =
          new TensorInfo(open.name(), open.type(), open.shape(), next, next + open.sizeInBytes());
      tensors.put(info.name(), info);
      next = info.end();
    }
    Map<String, String> sorted = new TreeMap<>(Json.UTF8_ORDER);
    sorted.putAll(metadata);
    return new SafetensorsHeader(sorted, tensors);
  }

  /** The header as bytes, padded with spaces to a multiple of eight. */
  byte[] toBytes() {
    StringBuilder json = new StringBuilder("{");
    if (!metadata.isEmpty()) {
      json.append(Json.quote(METADATA)).append(":{");
      metadata.forEach(
          (key, value) ->
              json.append(Json.quote(key)).append(':').append(Json.quote(value)).append(','));
      json.setCharAt(json.length() - 1, '}');
      json.append(',');
    }
    for (TensorInfo info : tensors.values()) {
      json.append(Json.quote(info.name()))
          .append(":{\"dtype\":\"")
          .append(info.type())
          .append("\",\"shape\":")
          .append(info.shape().toString().replace(" ", ""))
          .append(",\"data_offsets\":")
          .append(info.offsets())
          .append("},");
    }
    if (json.length() > 1) {
      json.setLength(json.length() - 1);
    }
    json.append('}');
    byte[] text = json.toString().getBytes(StandardCharsets.UTF_8);
    byte[] padded = Arrays.copyOf(text, (text.length + 7) / 8 * 8);
    Arrays.fill(padded, text.length, padded.length, (byte) ' ');
    return padded;
  }

  /** Reads the object, keeping the file and the key at hand for errors. */
  private record Parser(Path file, JsonReader reader) {
    SafetensorsHeader parse() throws IOException {
      Map<String, String> metadata = new LinkedHashMap<>();
      Map<String, TensorInfo> tensors = new LinkedHashMap<>();
      Set<String> seen = new LinkedHashSet<>();
      reader.beginObject();
      while (reader.hasNext()) {
        String name = nextName("header", seen);
        if (name.equals(METADATA)) {
          readMetadata(metadata);
        } else {
          tensors.put(name, readTensor(name));
        }
      }
      reader.endObject();
      reader.peek(); // Strict reading allows white space alone here.
      return new SafetensorsHeader(metadata, tensors);
    }

    private String nextName(String where, Set<String> seen) throws IOException {
      String name = reader.nextName();
      if (!seen.add(name)) {
        throw new FormatException(file, where, "the key '" + name + "' twice", "unique keys");
      }
      return name;
    }

    private void readMetadata(Map<String, String> metadata) throws IOException {
      if (reader.peek() == JsonToken.NULL) {
        reader.nextNull();
        return;
      }
      expect(METADATA, JsonToken.BEGIN_OBJECT, "an object of strings");
      Set<String> seen = new LinkedHashSet<>();
      reader.beginObject();
      while (reader.hasNext()) {
        String key = nextName(METADATA, seen);
        expect(METADATA + ": " + key, JsonToken.STRING, "a string");
        metadata.put(key, reader.nextString());
      }
      reader.endObject();
    }

    private TensorInfo readTensor(String name) throws IOException {
      expect(name, JsonToken.BEGIN_OBJECT, "an object with " + INFO_KEYS);
      ElementType type = null;
      List<Long> shape = null;
      List<Long> offsets = null;
      Set<String> seen = new LinkedHashSet<>(4);
      reader.beginObject();
      while (reader.hasNext()) {
        String key = nextName(name, seen);
        switch (key) {
          case "dtype" -> type = readType(name);
          case "shape" -> shape = readLongs(name + ": shape");
          case "data_offsets" -> offsets = readLongs(name + ": data_offsets");
          // As the official reader, so that files of later versions stay readable.
          default -> reader.skipValue();
        }
      }
      reader.endObject();
      if (type == null || shape == null || offsets == null) {
        throw new FormatException(file, name, "the keys " + seen, INFO_KEYS);
      }
      if (offsets.size() != 2 || offsets.get(0) > offsets.get(1)) {
        throw new FormatException(
            file, name + ": data_offsets", offsets.toString(), "[begin, end] with begin <= end");
      }
      return new TensorInfo(name, type, shape, offsets.get(0), offsets.get(1));
    }

    private ElementType readType(String name) throws IOException {
      expect(name + ": dtype", JsonToken.STRING, "a string");
      String text = reader.nextString();
      try {
        return ElementType.valueOf(text);
      } catch (IllegalArgumentException e) {
        throw new FormatException(
            file, name + ": dtype", "'" + text + "'", "one of " + ElementType.names());
      }
    }

    private List<Long> readLongs(String where) throws IOException {
      expect(where, JsonToken.BEGIN_ARRAY, "an array of integers");
      List<Long> values = new ArrayList<>();
      reader.beginArray();
      while (reader.hasNext()) {
        expect(where, JsonToken.NUMBER, "an integer");
        // As text: nextLong would accept 1.0 and 1e3.
        String text = reader.nextString();
        try {
          values.add(Long.parseLong(text));
        } catch (NumberFormatException e) {
          throw new FormatException(file, where, text, "an integer from 0 to 2^63 - 1");
        }
        if (text.startsWith("-")) {
          throw new FormatException(file, where, text, "an integer from 0 to 2^63 - 1");
        }
      }
      reader.endArray();
      return values;
    }

    private void expect(String where, JsonToken token, String expected) throws IOException {
      JsonToken found = reader.peek();
      if (found != token) {
        throw new FormatException(file, where, found.toString(), expected);
      }
    }
  }
}
