package org.sightline.vla.memory;

import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/**
 * Every tensor of a training step.
 *
 * <p>Not counted: what the process needs without a model (JVM, libtorch, CUDA context), scratch of
 * single kernels, an allocator's rounding and gaps.
 *
 * @param entries in the order of the groups
 */
public record StepMemory(List<MemoryEntry> entries) {
  public StepMemory {
    entries = entries.stream().sorted(Comparator.comparing(MemoryEntry::group)).toList(); // stable
  }

  /** The tensors of a step with {@code settings}. */
  public static StepMemory of(StepConfig settings) {
    return new StepMemory(new ResidentTensors(settings).entries());
  }

  /** Bytes of one group; of {@link MemoryGroup#MOMENT} those of its largest moment. */
  public long bytes(MemoryGroup group) {
    if (group == MemoryGroup.MOMENT) {
      return moments().values().stream().mapToLong(Long::longValue).max().orElse(0);
    }
    return bytes(entry -> entry.group() == group);
  }

  /** Bytes of the entries that are not of a moment, chosen by {@code which}. */
  public long bytes(Predicate<MemoryEntry> which) {
    return entries.stream()
        .filter(entry -> entry.group() != MemoryGroup.MOMENT)
        .filter(which)
        .mapToLong(MemoryEntry::bytes)
        .sum();
  }

  /** Everything, and the largest moment. An upper bound: not all saved tensors are left by then. */
  public long peakBytes() {
    return bytes(entry -> true) + bytes(MemoryGroup.MOMENT);
  }

  /** Bytes of each moment, by its name. */
  public Map<String, Long> moments() {
    Map<String, Long> moments = new LinkedHashMap<>();
    for (MemoryEntry entry : entries) {
      if (entry.group() == MemoryGroup.MOMENT) {
        moments.merge(entry.moment(), entry.bytes(), Long::sum);
      }
    }
    return moments;
  }
}
