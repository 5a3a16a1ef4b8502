package org.sightline.formats.peft;

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
record PeftConfigReader(JsonFields json) {
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
    return new PeftConfigReader(JsonFields.read(file)).read(modules);
  }

  private PeftConfig read(Collection<String> modules) throws FormatException {
    json.require("peft_type", json.text("peft_type", null), "LORA");
    json.require("bias", json.text("bias", "none"), "none");
    for (Map.Entry<String, JsonElement> entry : json.json().entrySet()) {
      if (!READ.contains(entry.getKey())
          && !INFORMATIVE.contains(entry.getKey())
          && !isOff(entry.getValue())) {
        throw json.wrong(entry.getKey(), "null, false or empty: not supported");
      }
    }
    LoraConfig lora = lora();
    Map<String, Integer> ranks = new LinkedHashMap<>();
    JsonFields rankPattern = pattern("rank_pattern");
    for (String key : rankPattern.keys()) {
      ranks.put(key, rank(rankPattern, key));
    }
    Map<String, Double> alphas = new LinkedHashMap<>();
    JsonFields alphaPattern = pattern("alpha_pattern");
    for (String key : alphaPattern.keys()) {
      alphas.put(key, real(alphaPattern, key));
    }
    try {
      return new PeftConfig(
          lora,
          targets(modules),
          ranks,
          alphas,
          json.text("base_model_name_or_path", null),
          json.text("task_type", null));
    } catch (IllegalArgumentException e) {
      throw new FormatException(json.file(), "patterns", e.getMessage());
    }
  }

  private LoraConfig lora() throws FormatException {
    int rank = contains("r") ? rank(json, "r") : 8;
    double alpha = contains("lora_alpha") ? real(json, "lora_alpha") : 8;
    double dropout = contains("lora_dropout") ? json.number("lora_dropout") : 0;
    JsonElement stabilized = json.json().get("use_rslora");
    boolean rankStabilized = new JsonPrimitive(true).equals(stabilized);
    if (stabilized != null && !rankStabilized && !isOff(stabilized)) {
      throw json.wrong("use_rslora", "true or false");
    }
    try {
      return new LoraConfig(rank, alpha, dropout, rankStabilized, init());
    } catch (IllegalArgumentException e) {
      throw new FormatException(json.file(), "r, lora_alpha, lora_dropout", e.getMessage());
    }
  }

  /** Also if it is null, which is no number. */
  private boolean contains(String key) {
    return json.json().has(key);
  }

  private LoraInit init() throws FormatException {
    JsonElement value = json.json().get("init_lora_weights");
    if (value == null || PLAIN_INIT.contains(value)) {
      return LoraInit.KAIMING_UNIFORM;
    }
    if (value.equals(new JsonPrimitive("gaussian"))) {
      return LoraInit.GAUSSIAN;
    }
    throw json.wrong("init_lora_weights", "true, false, \"gaussian\", \"orthogonal\" or \"eva\"");
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
    JsonElement value = json.json().get(key);
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
      throw new FormatException(json.file(), key, e.getMessage());
    }
  }

  private List<Integer> layers() throws FormatException {
    String key = "layers_to_transform";
    if (!json.has(key)) {
      return List.of();
    }
    boolean several = json.json().get(key).isJsonArray();
    List<Integer> layers = new ArrayList<>();
    for (double layer : several ? json.numbers(key) : List.of(json.number(key))) {
      if (layer != Math.rint(layer) || layer < 0 || layer > Integer.MAX_VALUE) {
        throw json.wrong(key, "integers of 0 or more");
      }
      layers.add((int) layer);
    }
    return layers;
  }

  /** A list of strings; one string alone is a list of one, none or null is empty. */
  private List<String> strings(String key) throws FormatException {
    JsonElement value = json.json().get(key);
    if (value == null || isOff(value)) {
      return List.of();
    }
    if (isString(value)) {
      return value.getAsString().isEmpty() ? List.of() : List.of(value.getAsString());
    }
    return json.strings(key);
  }

  private JsonFields pattern(String key) throws FormatException {
    JsonElement value = json.json().get(key);
    if (value != null && !isOff(value) && !value.isJsonObject()) {
      throw json.wrong(key, "an object from module patterns to numbers");
    }
    return new JsonFields(
        json.file(), key + ": ", value instanceof JsonObject object ? object : new JsonObject());
  }

  private static int rank(JsonFields in, String key) throws FormatException {
    double rank = in.number(key);
    if (rank != Math.rint(rank) || rank < 1 || rank > Integer.MAX_VALUE) {
      throw in.wrong(key, "an integer of 1 or more");
    }
    return (int) rank;
  }

  private static double real(JsonFields in, String key) throws FormatException {
    double value = in.number(key);
    if (!Float.isFinite((float) value)) { // What it is computed with.
      throw in.wrong(key, "a number that a float32 can hold");
    }
    return value;
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
