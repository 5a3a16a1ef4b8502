package org.sightline.formats.peft;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;

/**
 * Reads {@code adapter_config.json}. A key that is not known here may change what the adapter
 * computes, so it is passed over only while it is off (null, false or empty).
 */
record PeftConfigReader(Path file, JsonObject json) {
  /** Keys that say who wrote the adapter or how it was started: the tensors tell all we need. */
  private static final Set<String> INFORMATIVE =
      Set.of(
          "auto_mapping",
          "eva_config",
          "inference_mode",
          "megatron_core",
          "peft_version",
          "qalora_group_size",
          "revision");

  private static final Set<String> READ =
      Set.of(
          "alpha_pattern",
          "base_model_name_or_path",
          "bias",
          "exclude_modules",
          "init_lora_weights",
          "layers_pattern",
          "layers_to_transform",
          "lora_alpha",
          "lora_dropout",
          "peft_type",
          "r",
          "rank_pattern",
          "target_modules",
          "task_type",
          "use_rslora");

  /**
   * Initial values that say nothing of a trained adapter. The others (PiSSA, OLoRA, LoftQ, CorDA)
   * change the base weights too, or are not described.
   */
  private static final Set<JsonElement> PLAIN_INIT =
      Set.of(
          new JsonPrimitive(true),
          new JsonPrimitive(false),
          new JsonPrimitive("eva"),
          new JsonPrimitive("orthogonal"));

  /**
   * Reads the file.
   *
   * @param modules the adapted modules; they stand in for a {@code target_modules} that is null
   * @throws FormatException if it is not a LoRA configuration, or asks for something that is not
   *     supported here: names the key
   */
  static PeftConfig read(Path file, Collection<String> modules) throws IOException {
    return new PeftConfigReader(file, JsonFields.read(file).json()).read(modules);
  }

  private PeftConfig read(Collection<String> modules) throws FormatException {
    require("peft_type", "LORA");
    if (json.has("bias")) {
      require("bias", "none");
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
    LoraConfig lora = lora();
    Map<String, Integer> ranks = new LinkedHashMap<>();
    for (String key : pattern("rank_pattern").keySet()) {
      ranks.put(key, rank("rank_pattern: " + key, pattern("rank_pattern").get(key)));
    }
    Map<String, Double> alphas = new LinkedHashMap<>();
    for (String key : pattern("alpha_pattern").keySet()) {
      alphas.put(key, number("alpha_pattern: " + key, pattern("alpha_pattern").get(key)));
    }
    try {
      return new PeftConfig(
          lora,
          targets(modules),
          ranks,
          alphas,
          text("base_model_name_or_path"),
          text("task_type"));
    } catch (IllegalArgumentException e) {
      throw new FormatException(file, "patterns", e.getMessage());
    }
  }

  private LoraConfig lora() throws FormatException {
    int rank = json.has("r") ? rank("r", json.get("r")) : 8;
    double alpha = json.has("lora_alpha") ? number("lora_alpha", json.get("lora_alpha")) : 8;
    double dropout =
        json.has("lora_dropout") ? number("lora_dropout", json.get("lora_dropout")) : 0;
    JsonElement stabilized = json.get("use_rslora");
    boolean rankStabilized = new JsonPrimitive(true).equals(stabilized);
    if (stabilized != null && !rankStabilized && !isOff(stabilized)) {
      throw new FormatException(file, "use_rslora", stabilized.toString(), "true or false");
    }
    try {
      return new LoraConfig(rank, alpha, dropout, rankStabilized, init());
    } catch (IllegalArgumentException e) {
      throw new FormatException(file, "r, lora_alpha, lora_dropout", e.getMessage());
    }
  }

  private LoraInit init() throws FormatException {
    JsonElement value = json.get("init_lora_weights");
    if (value == null || PLAIN_INIT.contains(value)) {
      return LoraInit.KAIMING_UNIFORM;
    }
    if (value.equals(new JsonPrimitive("gaussian"))) {
      return LoraInit.GAUSSIAN;
    }
    throw new FormatException(
        file,
        "init_lora_weights",
        value.toString(),
        "true, false, \"gaussian\", \"orthogonal\" or \"eva\"");
  }

  private PeftTargets targets(Collection<String> modules) throws FormatException {
    ModuleFilter targets = filter("target_modules");
    ModuleFilter excluded = filter("exclude_modules");
    if (targets == null) {
      targets = new ModuleFilter.Names(PeftConfig.lastComponents(modules));
    }
    return new PeftTargets(targets, excluded, layers(), strings("layers_pattern"));
  }

  private ModuleFilter filter(String key) throws FormatException {
    JsonElement value = json.get(key);
    if (value == null || isOff(value)) {
      return null;
    }
    if (!isString(value)) {
      return new ModuleFilter.Names(strings(key));
    }
    String text = value.getAsString();
    // PEFT compares without case, and only targets have this word.
    if (key.equals("target_modules") && text.equalsIgnoreCase(ModuleFilter.ALL_LINEAR)) {
      return new ModuleFilter.AllLinear();
    }
    try {
      return new ModuleFilter.Regex(text);
    } catch (IllegalArgumentException e) {
      throw new FormatException(file, key, e.getMessage());
    }
  }

  private List<Integer> layers() throws FormatException {
    JsonElement value = json.get("layers_to_transform");
    if (value == null || value.isJsonNull()) {
      return List.of();
    }
    JsonArray array = new JsonArray();
    if (value.isJsonArray()) {
      array = value.getAsJsonArray();
    } else {
      array.add(value);
    }
    List<Integer> layers = new ArrayList<>();
    for (JsonElement element : array) {
      double layer = number("layers_to_transform", element);
      if (layer != Math.rint(layer) || layer < 0 || layer > Integer.MAX_VALUE) {
        throw new FormatException(
            file, "layers_to_transform", value.toString(), "integers of 0 or more");
      }
      layers.add((int) layer);
    }
    return layers;
  }

  /** A list of strings; one string alone is a list of one, none or null is empty. */
  private List<String> strings(String key) throws FormatException {
    JsonElement value = json.get(key);
    if (value == null || isOff(value)) {
      return List.of();
    }
    if (isString(value)) {
      return value.getAsString().isEmpty() ? List.of() : List.of(value.getAsString());
    }
    List<String> texts = new ArrayList<>();
    if (value.isJsonArray()) {
      for (JsonElement element : value.getAsJsonArray()) {
        if (isString(element)) {
          texts.add(element.getAsString());
        }
      }
    }
    if (!value.isJsonArray() || texts.size() != value.getAsJsonArray().size()) {
      throw new FormatException(file, key, value.toString(), "an array of strings");
    }
    return texts;
  }

  private Map<String, JsonElement> pattern(String key) throws FormatException {
    JsonElement value = json.get(key);
    if (value == null || isOff(value)) {
      return Map.of();
    }
    if (!value.isJsonObject()) {
      throw new FormatException(
          file, key, value.toString(), "an object from module patterns to numbers");
    }
    return value.getAsJsonObject().asMap();
  }

  private int rank(String key, JsonElement value) throws FormatException {
    double rank = number(key, value);
    if (rank != Math.rint(rank) || rank < 1 || rank > Integer.MAX_VALUE) {
      throw new FormatException(file, key, value.toString(), "an integer of 1 or more");
    }
    return (int) rank;
  }

  private double number(String key, JsonElement value) throws FormatException {
    if (!value.isJsonPrimitive() || !value.getAsJsonPrimitive().isNumber()) {
      throw new FormatException(file, key, value.toString(), "a number");
    }
    if (!Float.isFinite(value.getAsFloat())) { // What it is computed with.
      throw new FormatException(file, key, value.toString(), "a number that a float32 can hold");
    }
    return value.getAsDouble();
  }

  private void require(String key, String expected) throws FormatException {
    JsonElement value = json.get(key);
    if (!new JsonPrimitive(expected).equals(value)) {
      throw new FormatException(
          file, key, value == null ? "no such key" : value.toString(), '"' + expected + '"');
    }
  }

  private String text(String key) throws FormatException {
    JsonElement value = json.get(key);
    if (value == null || value.isJsonNull()) {
      return null;
    }
    if (!isString(value)) {
      throw new FormatException(file, key, value.toString(), "a string or null");
    }
    return value.getAsString();
  }

  private static boolean isOff(JsonElement value) {
    return value.isJsonNull()
        || value.isJsonArray() && value.getAsJsonArray().isEmpty()
        || value.isJsonObject() && value.getAsJsonObject().isEmpty()
        || value.equals(new JsonPrimitive(false));
  }

  private static boolean isString(JsonElement value) {
    return value.isJsonPrimitive() && value.getAsJsonPrimitive().isString();
  }
}
