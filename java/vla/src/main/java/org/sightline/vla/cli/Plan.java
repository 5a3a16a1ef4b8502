package org.sightline.vla.cli;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.sightline.vla.memory.ElementType;
import org.sightline.vla.memory.MemoryGroup;
import org.sightline.vla.memory.MemoryRow;
import org.sightline.vla.memory.StepMemory;
import org.sightline.vla.memory.StepSettings;
import org.sightline.vla.model.ModelSpec;
import org.sightline.vla.model.ParameterSpec;

/** What {@code plan} prints. {@code memory} and {@code trial} may be null. */
final class Plan {
  private final StepSettings settings;
  private final Long memory;
  private final StepTrial trial;
  private final StepMemory ours;
  private final StepMemory paper;

  Plan(StepSettings settings, Long memory, StepTrial trial) {
    this.settings = settings;
    this.memory = memory;
    this.trial = trial;
    ours = StepMemory.ofSightline(settings);
    paper = StepMemory.ofPaper(settings);
  }

  boolean fits() {
    return memory == null || ours.peakBytes() <= memory;
  }

  /** Settings, groups beside the paper's code, then the tensors, blocks in one line. */
  String text() {
    var text = new StringBuilder();
    facts().forEach((name, value) -> line(text, "%-24s %s", name, value));
    text.append('\n');
    line(text, "%-24s %12s %14s", "", "sightline", "paper's code");
    for (MemoryGroup group : MemoryGroup.values()) {
      groupLine(text, group.label(), ours.bytes(group), paper.bytes(group));
    }
    groupLine(text, "total", ours.peakBytes(), paper.peakBytes());
    text.append('\n');
    for (MemoryRow row : MemoryRow.of(ours)) {
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

  private static void groupLine(StringBuilder text, String name, long ours, long theirs) {
    line(text, "%-24s %12s %14s", name, ByteCount.format(ours), ByteCount.format(theirs));
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
              ByteCount.format(ours.peakBytes()),
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
    map.put("total_bytes", ours.peakBytes());
    map.put("paper_total_bytes", paper.peakBytes());
    Map<String, Object> groups = new LinkedHashMap<>();
    for (MemoryGroup group : MemoryGroup.values()) {
      groups.put(
          group.label(), Map.of("bytes", ours.bytes(group), "paper_bytes", paper.bytes(group)));
    }
    map.put("groups", groups);
    if (trial != null) {
      map.put("seconds_per_step", trial.secondsPerStep());
      map.put("measured_peak_bytes", trial.peakBytes());
      map.put("measured_baseline_bytes", trial.baselineBytes());
    }
    map.put("tensors", tensors(ours));
    map.put("paper_tensors", tensors(paper));
    return map;
  }

  private static List<Map<String, Object>> tensors(StepMemory memory) {
    List<Map<String, Object>> tensors = new ArrayList<>();
    memory
        .entries()
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
