package org.sightline.vla.cli;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.List;
import org.sightline.AdamW;
import org.sightline.train.Mode;
import org.sightline.vla.memory.MemoryEntry;
import org.sightline.vla.memory.MemoryGroup;
import org.sightline.vla.memory.StepMemory;
import org.sightline.vla.memory.StepSettings;
import org.sightline.vla.teacher.TeacherConfig;

/**
 * Refuses a job that cannot fit into this machine: without it, Linux grants the memory and kills
 * the process when it is used, with no word of why.
 */
final class MemoryCheck {
  private MemoryCheck() {}

  /**
   * Compares with what the system has, swap included.
   *
   * @throws IllegalArgumentException if the job cannot fit
   */
  static void require(FinetuneSettings settings) {
    if (ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system) {
      require(settings, system.getTotalMemorySize() + system.getTotalSwapSpaceSize());
    }
  }

  static void require(FinetuneSettings settings, long available) {
    double least;
    try {
      least = leastBytes(settings);
    } catch (ArithmeticException e) { // One tensor passes it.
      least = Long.MAX_VALUE;
    }
    if (least > available) {
      throw new IllegalArgumentException(
          ("a step needs at least %s, this machine has %s: lower --batch-size, found %d (and raise"
                  + " --accumulate), or --rank, found %d, or turn --gradient-checkpointing on;"
                  + " \"plan\" shows what takes it")
              .formatted(
                  ByteCount.format((long) least),
                  ByteCount.format(available),
                  settings.batchSize(),
                  settings.lora().rank()));
    }
  }

  /** A lower bound: the shortest prompts, the smallest teacher, no moment's temporaries. */
  private static double leastBytes(FinetuneSettings settings) {
    boolean aligned = settings.modes().contains(Mode.ALIGN);
    StepMemory memory =
        StepMemory.of(
            new StepSettings(
                settings.model(),
                settings.batchSize(),
                StepSettings.LABELLED_TOKENS + 1,
                StepSettings.LABELLED_TOKENS,
                settings.lora().rank(),
                settings.dtype(),
                AdamW.Precision.MASTER,
                aligned ? settings.alignedLayers() : List.of(),
                settings.projectorSize(),
                aligned ? TeacherConfig.nano("the smallest") : null,
                true,
                settings.run().gradientCheckpointing()));
    return memory.entries().stream()
        .filter(entry -> entry.group() != MemoryGroup.MOMENT)
        .mapToDouble(MemoryEntry::bytes) // whose sum may pass the range of a long
        .sum();
  }
}
