package org.sightline.formats.safetensors;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.json.Json;
import org.sightline.formats.json.JsonFields;

/**
 * A {@code model.safetensors.index.json}: which shard holds which tensor.
 *
 * <pre>
 * {"metadata": {"total_size": 15082474368},
 *  "weight_map": {"projector.fc1.bias": "model-00001-of-00003.safetensors", …}}
 * </pre>
 *
 * @param weightMap file name by tensor name, in the order of the file
 */
record SafetensorsIndex(Map<String, String> weightMap) {
  static SafetensorsIndex read(Path file) throws IOException {
    JsonObject root = JsonFields.read(file).json();
    JsonElement map = root.get("weight_map");
    if (map == null || !map.isJsonObject() || map.getAsJsonObject().size() == 0) {
      throw new FormatException(
          file,
          "weight_map",
          map == null ? "no such key" : map.toString(),
          "an object from tensor to file names");
    }
    Map<String, String> weightMap = new LinkedHashMap<>();
    for (Map.Entry<String, JsonElement> entry : map.getAsJsonObject().entrySet()) {
      weightMap.put(entry.getKey(), fileName(file, entry.getKey(), entry.getValue()));
    }
    return new SafetensorsIndex(weightMap);
  }

  /** How many tensors lie in each file. */
  Map<String, Long> tensorsByFile() {
    return weightMap.values().stream()
        .collect(Collectors.groupingBy(file -> file, Collectors.counting()));
  }

  /** A shard lies beside its index: whoever wrote the index has no say over other folders. */
  private static String fileName(Path file, String tensor, JsonElement value)
      throws FormatException {
    boolean string = value.isJsonPrimitive() && value.getAsJsonPrimitive().isString();
    String name = string ? value.getAsString() : "";
    if (!name.endsWith(".safetensors") || !InputFile.isPlainName(name)) {
      throw new FormatException(
          file,
          "weight_map: " + tensor,
          value.toString(),
          "the name of a .safetensors file in the same folder");
    }
    return name;
  }

  /** The text that Hugging Face's libraries write: sorted keys, two spaces, final newline. */
  String toJson(long totalSize) {
    Map<String, String> sorted = new TreeMap<>(Json.UTF8_ORDER);
    sorted.putAll(weightMap);
    Map<String, Object> root = new LinkedHashMap<>();
    root.put("metadata", Map.of("total_size", totalSize));
    root.put("weight_map", sorted);
    return Json.dump(root) + "\n";
  }
}
