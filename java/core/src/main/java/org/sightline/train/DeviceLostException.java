package org.sightline.train;

import java.util.List;
import java.util.Locale;

/** A GPU that no longer computes; the message says what to do. The process has to end. */
public final class DeviceLostException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** What CUDA says of hardware and drivers, not of programs. */
  private static final List<String> SIGNS =
      List.of(
          "uncorrectable ecc error",
          "uncorrectable nvlink error",
          "hardware stack error",
          "device(s) is/are busy or unavailable",
          "no cuda-capable device is detected",
          "gpu is lost",
          "the launch timed out and was terminated",
          "system not yet initialized",
          "a hardware error");

  DeviceLostException(int step, Throwable cause) {
    super(
        ("the GPU was lost in step %d (%s): look at nvidia-smi and the system's log; in a new process"
                + " the run goes on from its last checkpoint")
            .formatted(step, String.valueOf(cause.getMessage()).lines().findFirst().orElse("")),
        cause);
  }

  /** Whether CUDA says so, through libtorch or our kernels. */
  public static boolean isLost(Throwable failure) {
    String message = String.valueOf(failure.getMessage()).toLowerCase(Locale.ROOT);
    return message.contains("cuda") && SIGNS.stream().anyMatch(message::contains);
  }
}
