package org.sightline.formats.peft;

import com.google.re2j.Matcher;
import java.util.Collection;
import java.util.List;
import java.util.Objects;

/**
 * Which modules of a base model a PEFT adapter wraps, by the rules of PEFT's {@code
 * check_target_module_exists}: excluded modules first, then the targets, then, for targets given as
 * names that are not full names, the number of the layer.
 *
 * @param modules {@code target_modules}
 * @param excluded {@code exclude_modules}, or null
 * @param layers {@code layers_to_transform}, numbers of layers; empty for all
 * @param layersPatterns {@code layers_pattern}, names of the list that layers are counted in
 *     ({@code layers}, {@code blocks}); empty for any
 */
public record PeftTargets(
    ModuleFilter modules,
    ModuleFilter excluded,
    List<Integer> layers,
    List<String> layersPatterns) {

  public PeftTargets {
    Objects.requireNonNull(modules, "modules");
    layers = List.copyOf(layers);
    layersPatterns = List.copyOf(layersPatterns);
    if (excluded instanceof ModuleFilter.AllLinear) {
      throw new IllegalArgumentException(
          "excluded must be names or an expression, found \"all-linear\"");
    }
    layersPatterns.forEach(PythonRegex::compile);
    layersPatterns.forEach(PeftTargets::requireOneAlternative);
    layersPatterns.forEach(pattern -> layer(pattern, ""));
  }

  /** PEFT sets it between others: to the right of an alternative there would be no number. */
  private static void requireOneAlternative(String pattern) {
    String outside = pattern.replaceAll("\\\\.|\\[[^]]*]", "");
    for (String before = ""; !before.equals(outside); ) {
      before = outside;
      outside = before.replaceAll("\\([^()]*\\)", "");
    }
    if (outside.contains("|")) {
      throw new IllegalArgumentException(
          "found \"%s\", expected alternatives in parentheses".formatted(pattern));
    }
  }

  /** Modules by name, nothing excluded. */
  public static PeftTargets of(Collection<String> names) {
    return new PeftTargets(new ModuleFilter.Names(List.copyOf(names)), null, List.of(), List.of());
  }

  /** As these, without some modules. */
  public PeftTargets without(ModuleFilter excludedModules) {
    return new PeftTargets(modules, excludedModules, layers, layersPatterns);
  }

  /** In words, as the configuration has them: {@code [q_proj, k_proj], without vision.*}. */
  public String describe() {
    return ModuleFilter.toJson(modules)
        + (excluded == null ? "" : ", without " + ModuleFilter.toJson(excluded))
        + (layers.isEmpty() ? "" : ", layers " + layers)
        + (layersPatterns.isEmpty() ? "" : " of " + layersPatterns);
  }

  /** Whether the module of this full name is adapted. */
  public boolean matches(String module) {
    if (excluded != null && excluded.matches(module) || !modules.matches(module)) {
      return false;
    }
    // PEFT counts layers for names alone, and not for a module whose full name is given.
    if (layers.isEmpty()
        || !(modules instanceof ModuleFilter.Names names)
        || names.names().contains(module)) {
      return true;
    }
    if (layersPatterns.isEmpty()) {
      return inLayer("[^.]*", module);
    }
    for (String pattern : layersPatterns) {
      if (layer(pattern, module) >= 0) {
        return inLayer(pattern, module);
      }
    }
    return false;
  }

  private boolean inLayer(String pattern, String module) {
    long layer = layer(pattern, module);
    return layers.stream().anyMatch(number -> number == layer);
  }

  /** The number after the list's name, or -1. */
  private static long layer(String pattern, String module) {
    Matcher matcher = PythonRegex.compile(".*?\\." + pattern + "\\.(\\d+)\\.").matcher(module);
    if (!matcher.lookingAt()) {
      return -1;
    }
    String digits = matcher.group(matcher.groupCount());
    return digits.length() > 18 ? Long.MAX_VALUE : Long.parseLong(digits);
  }
}
