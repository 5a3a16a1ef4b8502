package org.sightline.vla.cli;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.sightline.formats.Printable;
import org.sightline.vla.memory.ByteCount;
import org.sightline.vla.memory.ElementType;
import org.sightline.vla.memory.MemoryGroup;
import org.sightline.vla.memory.MemoryRow;
import org.sightline.vla.memory.StepConfig;
import org.sightline.vla.memory.StepMemory;
import org.sightline.vla.memory.StepTrial;
import org.sightline.vla.model.ModelSpec;
import org.sightline.vla.model.ParameterSpec;

/** What {@code plan} prints. {@code memory} and {@code trial} may be null. */
final class MemoryPlan {
  private final StepConfig settings;
  private final Long memory;
  private final StepTrial trial;
  private final StepMemory step;

  MemoryPlan(StepConfig settings, Long memory, StepTrial trial) {
    this.settings = settings;
    this.memory = memory;
    this.trial = trial;
    step = StepMemory.of(settings);
  }

  boolean fits() {
    return memory == null || step.peakBytes() <= memory;
  }

  /** Settings, groups, then the tensors, blocks in one line. */
  String text() {
    var text = new StringBuilder();
    facts().forEach((name, value) -> line(text, "%-24s %s", name, Printable.of(value)));
    text.append('\n');
    for (MemoryGroup group : MemoryGroup.values()) {
      line(text, "%-24s %12s", group.label(), ByteCount.format(step.bytes(group)));
    }
    line(text, "%-24s %12s", "total", ByteCount.format(step.peakBytes()));
    text.append('\n');
    for (MemoryRow row : MemoryRow.of(step)) {
      line(
          text,
          "%-20s %-10s %-5s %-66s %-28s %s",
          row.entry().group().label(),
          ByteCount.format(row.bytes()),
          row.entry().type().label(),
          row.entry().name(),
          row.shape(),
          row.entry().reason());
    }
    return text.toString();
  }

  private static void line(StringBuilder text, String format, Object... values) {
    text.append(String.format(Locale.ROOT, format, values).stripTrailing()).append('\n');
  }

  private Map<String, String> facts() {
    Map<String, String> facts = new LinkedHashMap<>();
    List<ParameterSpec> parameters = ModelSpec.of(settings.model()).parameters();
    long elements = parameters.stream().mapToLong(ParameterSpec::elements).sum();
    facts.put(
        "model",
        String.format(
            Locale.ROOT,
            "%s, %,d parameters in %d tensors",
            settings.model().preset(),
            elements,
            parameters.size()));
    facts.put(
        "step",
        String.format(
            Locale.ROOT,
            "batch %d, %d + %d tokens, %s, rank %d",
            settings.batchSize(),
            settings.model().imageTokens(),
            settings.textTokens(),
            ElementType.of(settings.dtype()).label(),
            settings.rank()));
    facts.put(
        "alignment",
        settings.aligned()
            ? String.format(
                Locale.ROOT,
                "layers %s to %s%s",
                settings.alignedLayers(),
                settings.teacher().weights(),
                settings.teacherCached() ? ", cached" : "")
            : "none");
    facts.put("gradient checkpointing", settings.gradientCheckpointing() ? "on" : "off");
    facts.put("not counted", "JVM, libtorch, CUDA context, scratch of kernels");
    if (memory != null) {
      facts.put(
          "fits",
          String.format(
              Locale.ROOT,
              "%s: %s of %s",
              fits() ? "yes" : "no",
              ByteCount.format(step.peakBytes()),
              ByteCount.format(memory)));
    }
    if (trial != null) {
      facts.put(
          "measured",
          String.format(
              Locale.ROOT,
              "%.2f s per step; resident memory %s at most, %s before the model",
              trial.secondsPerStep(),
              ByteCount.format(trial.peakBytes()),
              ByteCount.format(trial.baselineBytes())));
    }
    return facts;
  }

  /** The same for machines; bytes are plain numbers. */
  Map<String, Object> map() {
    Map<String, Object> map = new LinkedHashMap<>(facts());
    map.put("total_bytes", step.peakBytes());
    Map<String, Object> groups = new LinkedHashMap<>();
    for (MemoryGroup group : MemoryGroup.values()) {
      groups.put(group.label(), Map.of("bytes", step.bytes(group)));
    }
    map.put("groups", groups);
    if (trial != null) {
      map.put("seconds_per_step", trial.secondsPerStep());
      map.put("measured_peak_bytes", trial.peakBytes());
      map.put("measured_baseline_bytes", trial.baselineBytes());
    }
    map.put("tensors", tensors());
    return map;
  }

  private List<Map<String, Object>> tensors() {
    List<Map<String, Object>> tensors = new ArrayList<>();
    step.entries()
        .forEach(
            entry -> {
              Map<String, Object> tensor = new LinkedHashMap<>();
              tensor.put("group", entry.group().label());
              tensor.put("name", entry.name());
              tensor.put("shape", entry.shape());
              tensor.put("dtype", entry.type().label());
              tensor.put("bytes", entry.bytes());
              tensor.put("reason", entry.reason());
              tensors.add(tensor);
            });
    return tensors;
  }
}
