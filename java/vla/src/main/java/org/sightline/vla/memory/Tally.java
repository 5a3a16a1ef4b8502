package org.sightline.vla.memory;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.sightline.AlignmentProjector;
import org.sightline.ProjectorConfig;
import org.sightline.vla.model.LoraTarget;
import org.sightline.vla.model.ModelSpec;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.VisionConfig;

/** Collects the entries of a step. */
final class Tally {
  static final String DINO = ModelSpec.DINO;
  static final String SIGLIP = ModelSpec.SIGLIP;
  static final String LAYERS = ModelSpec.LANGUAGE_MODEL + ".model.layers.";
  static final String HEAD = ModelSpec.LANGUAGE_MODEL + ".lm_head";

  private final List<MemoryEntry> entries = new ArrayList<>();

  List<MemoryEntry> entries() {
    return entries;
  }

  void add(MemoryGroup group, String name, ElementType type, String reason, long... shape) {
    entries.add(new MemoryEntry(group, name, Arrays.stream(shape).boxed().toList(), type, reason));
  }

  void add(MemoryGroup group, ParameterSpec parameter, ElementType type, String reason) {
    entries.add(new MemoryEntry(group, parameter.name(), parameter.shape(), type, reason));
  }

  void moment(String moment, String name, ElementType type, String reason, long... shape) {
    add(MemoryGroup.MOMENT, moment + ": " + name, type, reason, shape);
  }

  /** A and B of adapted modules, reached by the forward pass or not, as {@code active} says. */
  static List<ParameterSpec> adapters(StepConfig settings, boolean active) {
    return ModelSpec.of(settings.model()).loraTargets().stream()
        .filter(target -> target.active() == active)
        .map((LoraTarget target) -> target.parameters(settings.rank()))
        .flatMap(List::stream)
        .toList();
  }

  /** Whether the forward pass never reads this parameter. */
  static boolean isUnused(OpenVlaConfig model, String name) {
    return isUnused(DINO, model.dino(), name) || isUnused(SIGLIP, model.sigLip(), name);
  }

  private static boolean isUnused(String prefix, VisionConfig vision, String name) {
    return name.startsWith(prefix + ".norm.")
        || name.startsWith(prefix + ".attn_pool.")
        || name.startsWith(prefix + ".blocks." + (vision.depth() - 1) + ".");
  }

  /** Shapes of an alignment projector, by the names of its file. */
  static List<ParameterSpec> projector(StepConfig settings) {
    var config =
        ProjectorConfig.of(
            settings.model().text().hiddenSize(),
            settings.projectorSize(),
            settings.teacher().vision().width());
    return AlignmentProjector.shapes(config).entrySet().stream()
        .map(entry -> ParameterSpec.of(entry.getKey(), entry.getValue()))
        .toList();
  }
}
