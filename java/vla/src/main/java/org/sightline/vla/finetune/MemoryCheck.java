package org.sightline.vla.finetune;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import org.sightline.Device;
import org.sightline.vla.memory.ByteCount;
import org.sightline.vla.memory.MemoryEntry;
import org.sightline.vla.memory.MemoryGroup;
import org.sightline.vla.memory.StepConfig;
import org.sightline.vla.memory.StepMemory;
import org.sightline.vla.teacher.TeacherConfig;

/**
 * Refuses a job that cannot fit where it is to run. On the CPU Linux would grant the memory and
 * kill the process when it is used, with no word of why; on a GPU minutes of loading would be lost.
 */
public final class MemoryCheck {
  private MemoryCheck() {}

  /**
   * Compares with what the device has: a machine its memory and swap, a GPU what nobody uses of it.
   *
   * @throws IllegalArgumentException if the job cannot fit
   */
  public static void require(JobConfig config) {
    Device device = config.device();
    if (!device.equals(Device.CPU)) {
      require(config, device + " (less what others use)", device.freeBytes());
    } else if (ManagementFactory.getOperatingSystemMXBean()
        instanceof OperatingSystemMXBean system) {
      require(config, "this machine", system.getTotalMemorySize() + system.getTotalSwapSpaceSize());
    }
  }

  /**
   * @param where whose memory it is
   */
  static void require(JobConfig config, String where, long available) {
    double least;
    try {
      least = leastBytes(config);
    } catch (ArithmeticException e) { // One tensor passes it.
      least = Long.MAX_VALUE;
    }
    if (least > available) {
      throw new IllegalArgumentException(
          ("a step needs at least %s, %s has %s: lower batchSize, found %d (and raise"
                  + " gradientAccumulationSteps), LoRA's rank, found %d, or projectorSize, found %d, or"
                  + " turn gradientCheckpointing on; \"plan\" shows what takes it")
              .formatted(
                  ByteCount.format((long) least),
                  where,
                  ByteCount.format(available),
                  config.training().batchSize(),
                  config.lora().rank(),
                  config.alignment().projectorSize()));
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
