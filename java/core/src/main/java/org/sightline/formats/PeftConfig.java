package org.sightline.formats;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;

/**
 * What {@code adapter_config.json} says of a LoRA adapter, as far as it is supported here.
 *
 * @param lora rank, alpha, dropout, scaling and initialisation
 * @param targetModules the last name components of the adapted modules ({@code q_proj}, …)
 * @param baseModel name or path of the model the adapter belongs to, or null
 * @param taskType PEFT's task type, such as {@code CAUSAL_LM}, or null
 */
public record PeftConfig(
    LoraConfig lora, List<String> targetModules, String baseModel, String taskType) {

  /** Keys that say where adapters go or who wrote them: the tensor names tell all we need. */
  private static final Set<String> INFORMATIVE =
      Set.of(
          "auto_mapping",
          "exclude_modules",
          "inference_mode",
          "layers_pattern",
          "layers_to_transform",
          "megatron_core",
          "peft_version",
          "qalora_group_size",
          "revision");

  private static final Set<String> READ =
      Set.of(
          "base_model_name_or_path",
          "bias",
          "init_lora_weights",
          "lora_alpha",
          "lora_dropout",
          "peft_type",
          "r",
          "target_modules",
          "task_type",
          "use_rslora");

  public PeftConfig {
    Objects.requireNonNull(lora, "lora");
    targetModules = List.copyOf(targetModules);
    if (targetModules.isEmpty()) {
      throw new IllegalArgumentException("targetModules: found none, expected at least one name");
    }
  }

  /** A configuration whose targets are the last components of the given module names, sorted. */
  public static PeftConfig of(LoraConfig lora, Collection<String> modules) {
    return new PeftConfig(lora, lastComponents(modules), null, null);
  }

  /** As this one, for the named base model. */
  public PeftConfig withBaseModel(String name) {
    return new PeftConfig(lora, targetModules, name, taskType);
  }

  static List<String> lastComponents(Collection<String> modules) {
    return modules.stream()
        .map(module -> module.substring(module.lastIndexOf('.') + 1))
        .distinct()
        .sorted()
        .toList();
  }

  /** The text PEFT 0.11 writes: every key it knows, sorted, so that any later version reads it. */
  String toJson() {
    Map<String, Object> json = new TreeMap<>();
    json.put("alpha_pattern", Map.of());
    json.put("auto_mapping", null);
    json.put("base_model_name_or_path", baseModel);
    json.put("bias", "none");
    json.put("fan_in_fan_out", false);
    json.put("inference_mode", true);
    json.put("init_lora_weights", lora.init() == LoraInit.GAUSSIAN ? "gaussian" : (Object) true);
    json.put("layer_replication", null);
    json.put("layers_pattern", null);
    json.put("layers_to_transform", null);
    json.put("loftq_config", Map.of());
    json.put("lora_alpha", decimal(lora.alpha(), 0));
    json.put("lora_dropout", decimal(lora.dropout(), 1));
    json.put("megatron_config", null);
    json.put("megatron_core", "megatron.core");
    json.put("modules_to_save", null);
    json.put("peft_type", "LORA");
    json.put("r", lora.rank());
    json.put("rank_pattern", Map.of());
    json.put("revision", null);
    json.put("target_modules", targetModules);
    json.put("task_type", taskType);
    json.put("use_dora", false);
    json.put("use_rslora", lora.rankStabilized());
    return Json.dump(json);
  }

  /** The shortest decimal of a double with at least {@code scale} places: 16, 0.0, 0.05. */
  static BigDecimal decimal(double value, int scale) {
    BigDecimal decimal = new BigDecimal(Double.toString(value)).stripTrailingZeros();
    return decimal.scale() < scale ? decimal.setScale(scale) : decimal;
  }

  /**
   * Reads {@code adapter_config.json}.
   *
   * @param modules the adapted modules; they stand in for a {@code target_modules} that is a
   *     pattern
   * @throws FormatException if it is not a LoRA configuration, or asks for something that is not
   *     supported here: names the key
   */
  static PeftConfig read(Path file, Collection<String> modules) throws IOException {
    JsonObject json;
    try {
      JsonElement element = JsonParser.parseString(Files.readString(file, StandardCharsets.UTF_8));
      if (!element.isJsonObject()) {
        throw new FormatException(file, "document", element.toString(), "a JSON object");
      }
      json = element.getAsJsonObject();
    } catch (JsonParseException e) {
      throw new FormatException(file, "document", "malformed JSON", "a JSON object");
    }
    Reader reader = new Reader(file, json);
    reader.require("peft_type", "LORA");
    if (json.has("bias")) {
      reader.require("bias", "none");
    }
    for (Map.Entry<String, JsonElement> entry : json.entrySet()) {
      if (!READ.contains(entry.getKey())
          && !INFORMATIVE.contains(entry.getKey())
          && !isOff(entry.getValue())) {
        throw new FormatException(
            file,
            entry.getKey(),
            entry.getValue().toString(),
            "null, false or empty: not supported");
      }
    }
    return new PeftConfig(
        reader.lora(),
        reader.targets(modules),
        reader.text("base_model_name_or_path"),
        reader.text("task_type"));
  }

  private static boolean isOff(JsonElement value) {
    return value.isJsonNull()
        || value.isJsonArray() && value.getAsJsonArray().isEmpty()
        || value.isJsonObject() && value.getAsJsonObject().isEmpty()
        || value.equals(new JsonPrimitive(false));
  }

  private record Reader(Path file, JsonObject json) {
    LoraConfig lora() throws FormatException {
      double rank = number("r", 8);
      if (rank != Math.rint(rank) || rank < 1 || rank > Integer.MAX_VALUE) {
        throw new FormatException(file, "r", json.get("r").toString(), "an integer of 1 or more");
      }
      double alpha = number("lora_alpha", 8);
      double dropout = number("lora_dropout", 0);
      LoraInit init = init();
      JsonElement stabilized = json.get("use_rslora");
      boolean rankStabilized = new JsonPrimitive(true).equals(stabilized);
      if (stabilized != null && !rankStabilized && !isOff(stabilized)) {
        throw new FormatException(file, "use_rslora", stabilized.toString(), "true or false");
      }
      try {
        return new LoraConfig((int) rank, alpha, dropout, rankStabilized, init);
      } catch (IllegalArgumentException e) {
        throw new FormatException(file, "r, lora_alpha, lora_dropout", e.getMessage());
      }
    }

    private LoraInit init() throws FormatException {
      JsonElement value = json.get("init_lora_weights");
      if (value == null || value.equals(new JsonPrimitive(true))) {
        return LoraInit.KAIMING_UNIFORM;
      }
      if (value.equals(new JsonPrimitive("gaussian"))) {
        return LoraInit.GAUSSIAN;
      }
      // The others either change the base weights (PiSSA, OLoRA, LoftQ) or are not described.
      throw new FormatException(
          file, "init_lora_weights", value.toString(), "true or \"gaussian\"");
    }

    List<String> targets(Collection<String> modules) throws FormatException {
      JsonElement value = json.get("target_modules");
      if (value == null || !value.isJsonArray() || value.getAsJsonArray().isEmpty()) {
        return lastComponents(modules);
      }
      JsonArray array = value.getAsJsonArray();
      List<String> targets = new ArrayList<>();
      for (JsonElement element : array) {
        if (!isString(element)) {
          throw new FormatException(
              file, "target_modules", array.toString(), "an array of strings");
        }
        targets.add(element.getAsString());
      }
      return targets;
    }

    void require(String key, String expected) throws FormatException {
      JsonElement value = json.get(key);
      if (!new JsonPrimitive(expected).equals(value)) {
        throw new FormatException(
            file, key, value == null ? "no such key" : value.toString(), '"' + expected + '"');
      }
    }

    String text(String key) throws FormatException {
      JsonElement value = json.get(key);
      if (value == null || value.isJsonNull()) {
        return null;
      }
      if (!isString(value)) {
        throw new FormatException(file, key, value.toString(), "a string or null");
      }
      return value.getAsString();
    }

    private double number(String key, double absent) throws FormatException {
      JsonElement value = json.get(key);
      if (value == null) {
        return absent;
      }
      if (!value.isJsonPrimitive() || !value.getAsJsonPrimitive().isNumber()) {
        throw new FormatException(file, key, value.toString(), "a number");
      }
      return value.getAsDouble();
    }

    private static boolean isString(JsonElement value) {
      return value.isJsonPrimitive() && value.getAsJsonPrimitive().isString();
    }
  }
}
