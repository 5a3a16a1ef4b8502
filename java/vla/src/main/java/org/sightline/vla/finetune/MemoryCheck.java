package org.sightline.vla.finetune;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import org.sightline.vla.memory.ByteCount;
import org.sightline.vla.memory.MemoryEntry;
import org.sightline.vla.memory.MemoryGroup;
import org.sightline.vla.memory.StepConfig;
import org.sightline.vla.memory.StepMemory;
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
  static void require(JobConfig config) {
    if (ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system) {
      require(config, system.getTotalMemorySize() + system.getTotalSwapSpaceSize());
    }
  }

  static void require(JobConfig config, long available) {
    double least;
    try {
      least = leastBytes(config);
    } catch (ArithmeticException e) { // One tensor passes it.
      least = Long.MAX_VALUE;
    }
    if (least > available) {
      throw new IllegalArgumentException(
          ("a step needs at least %s, this machine has %s: lower batchSize, found %d (and raise"
                  + " gradientAccumulationSteps), or rank, found %d, or turn gradientCheckpointing on;"
                  + " \"plan\" shows what takes it")
              .formatted(
                  ByteCount.format((long) least),
                  ByteCount.format(available),
                  config.training().batchSize(),
                  config.lora().rank()));
    }
  }

  /** A lower bound: the shortest prompts, the smallest teacher, no moment's temporaries. */
  private static double leastBytes(JobConfig config) {
    TeacherConfig smallest = TeacherConfig.nano("the smallest");
    StepMemory memory = StepMemory.of(config.step(StepConfig.LABELLED_TOKENS + 1, smallest, true));
    return memory.entries().stream()
        .filter(entry -> entry.group() != MemoryGroup.MOMENT)
        .mapToDouble(MemoryEntry::bytes) // whose sum may pass the range of a long
        .sum();
  }
}
