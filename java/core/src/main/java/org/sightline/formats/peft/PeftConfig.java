package org.sightline.formats.peft;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.math.BigDecimal;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.formats.json.Json;

/**
 * What {@code adapter_config.json} says of a LoRA adapter, as far as it is supported here.
 *
 * <p>A module's rank and alpha are those of the first key of a pattern that matches its name from
 * some dot (or the start) to the end, as a regular expression {@code (.*\\.)?(key)$}, else those of
 * {@code lora}. (PEFT 0.11 and earlier ask for the dot, and take alpha from the key that gave the
 * rank.)
 *
 * @param lora rank, alpha, dropout, scaling and initialisation
 * @param targets the adapted modules
 * @param rankPattern {@code rank_pattern}: ranks of modules that have another one; ordered
 * @param alphaPattern {@code alpha_pattern}: likewise
 * @param baseModel name or path of the model the adapter belongs to, or null
 * @param taskType PEFT's task type, such as {@code CAUSAL_LM}, or null
 */
@RecordBuilder
public record PeftConfig(
    LoraConfig lora,
    PeftTargets targets,
    Map<String, Integer> rankPattern,
    Map<String, Double> alphaPattern,
    String baseModel,
    String taskType)
    implements PeftConfigBuilder.With {

  /** Twice what full names of OpenVLA-7B's 439 modules would have. */
  private static final int MAX_PATTERNS = 50_000;

  public PeftConfig {
    Objects.requireNonNull(lora, "lora");
    Objects.requireNonNull(targets, "targets");
    rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
    alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
    checkSize("rank_pattern", rankPattern.keySet());
    checkSize("alpha_pattern", alphaPattern.keySet());
    rankPattern.forEach((key, rank) -> checkPattern("rank_pattern", key, lora, rank, 1));
    alphaPattern.forEach((key, alpha) -> checkPattern("alpha_pattern", key, lora, 1, alpha));
  }

  private static void checkPattern(
      String name, String key, LoraConfig lora, int rank, double alpha) {
    try {
      PythonRegex.compile(key);
      matches(key, "");
      lora.with().rank(rank).alpha(alpha).build();
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(name + ": " + key + ": " + e.getMessage(), e);
    }
  }

  /** A module may be compared with all keys. */
  private static void checkSize(String name, Collection<String> keys) {
    double size = keys.stream().mapToDouble(PythonRegex::size).sum();
    if (size > MAX_PATTERNS) {
      throw new IllegalArgumentException(
          String.format(
              Locale.ROOT,
              "%s: found %d keys of %.0f characters, expected at most %d in all",
              name,
              keys.size(),
              size,
              MAX_PATTERNS));
    }
  }

  /** The same for all modules; its targets are the last components of their names, sorted. */
  public static PeftConfig of(LoraConfig lora, Collection<String> modules) {
    return new PeftConfig(
        lora, PeftTargets.of(lastComponents(modules)), Map.of(), Map.of(), null, null);
  }

  /** The settings of one module's adapter. */
  public LoraConfig loraOf(String module) {
    return lora.with()
        .rank(of(module, rankPattern, lora.rank()))
        .alpha(of(module, alphaPattern, lora.alpha()))
        .build();
  }

  private static <T> T of(String module, Map<String, T> pattern, T otherwise) {
    return pattern.entrySet().stream()
        .filter(entry -> matches(entry.getKey(), module))
        .map(Map.Entry::getValue)
        .findFirst()
        .orElse(otherwise);
  }

  private static boolean matches(String key, String module) {
    return PythonRegex.match("(.*\\.)?(" + key + ")$", module);
  }

  static List<String> lastComponents(Collection<String> modules) {
    return modules.stream()
        .map(module -> module.substring(module.lastIndexOf('.') + 1))
        .distinct()
        .sorted()
        .toList();
  }

  /**
   * The text PEFT 0.11 writes: every key it knows, sorted, so that any later version reads it.
   * {@code exclude_modules}, which came in 0.14, is there only if it is used.
   */
  String toJson() {
    Map<String, Object> alphaJson = new LinkedHashMap<>();
    alphaPattern.forEach((key, alpha) -> alphaJson.put(key, decimal(alpha, 0)));
    Map<String, Object> json = new TreeMap<>();
    json.put("alpha_pattern", alphaJson);
    json.put("auto_mapping", null);
    json.put("base_model_name_or_path", baseModel);
    json.put("bias", "none");
    if (targets.excluded() != null) {
      json.put("exclude_modules", ModuleFilter.toJson(targets.excluded()));
    }
    json.put("fan_in_fan_out", false);
    json.put("inference_mode", true);
    json.put("init_lora_weights", lora.init() == LoraInit.GAUSSIAN ? "gaussian" : (Object) true);
    json.put("layer_replication", null);
    json.put("layers_pattern", emptyToNull(targets.layersPatterns()));
    json.put("layers_to_transform", emptyToNull(targets.layers()));
    json.put("loftq_config", Map.of());
    json.put("lora_alpha", decimal(lora.alpha(), 0));
    json.put("lora_dropout", decimal(lora.dropout(), 1));
    json.put("megatron_config", null);
    json.put("megatron_core", "megatron.core");
    json.put("modules_to_save", null);
    json.put("peft_type", "LORA");
    json.put("r", lora.rank());
    json.put("rank_pattern", rankPattern);
    json.put("revision", null);
    json.put("target_modules", ModuleFilter.toJson(targets.modules()));
    json.put("task_type", taskType);
    json.put("use_dora", false);
    json.put("use_rslora", lora.rankStabilized());
    return Json.dump(json);
  }

  private static <T> List<T> emptyToNull(List<T> list) {
    return list.isEmpty() ? null : list;
  }

  /** The shortest decimal of a double with at least {@code scale} places: 16, 0.0, 0.05. */
  static BigDecimal decimal(double value, int scale) {
    BigDecimal decimal = new BigDecimal(Double.toString(value)).stripTrailingZeros();
    return decimal.scale() < scale ? decimal.setScale(scale) : decimal;
  }
}
