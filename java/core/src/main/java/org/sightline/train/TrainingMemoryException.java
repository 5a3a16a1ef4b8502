package org.sightline.train;

import java.util.Locale;

/** Memory did not suffice for a step; the message says what to lower. */
public final class TrainingMemoryException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private TrainingMemoryException(String message, Throwable cause) {
    super(message, cause);
  }

  /**
   * What to throw in place of {@code failure}: itself, unless it tells that memory ran out, in
   * libtorch on the CPU or a GPU, or in Java.
   *
   * @param step the one under way
   * @param samples of the batches seen so far at most; 0 if unknown
   */
  static RuntimeException of(Throwable failure, int step, long samples, FineTuneConfig config) {
    if (failure instanceof RuntimeException other && !isOutOfMemory(other)) {
      return other;
    }
    return new TrainingMemoryException(
        ("out of memory in step %s%s: lower the batch size, and raise the gradient"
                + " accumulation (now %s) by the same factor to train on as many samples a step; or"
                + " turn gradient checkpointing on (%s)")
            .formatted(
                step,
                samples > 0 ? ", batches of " + samples + " samples" : "",
                config.gradientAccumulation(),
                firstLine(failure)),
        failure);
  }

  static String firstLine(Throwable failure) {
    String found = failure.getMessage() == null ? failure.toString() : failure.getMessage();
    return found.lines().findFirst().orElse(found);
  }

  /** Whether libtorch, a GPU or Java says that memory ran out. */
  public static boolean isOutOfMemory(Throwable failure) {
    String message = String.valueOf(failure.getMessage()).toLowerCase(Locale.ROOT);
    return failure instanceof OutOfMemoryError
        || message.contains("out of memory")
        || message.contains("out of device memory") // Ours, from a backward pass.
        || message.contains("could not be allocated")
        || message.contains("status_alloc_failed") // cuBLAS's and cuDNN's.
        || message.contains("not enough memory")
        || message.contains("can't allocate memory")
        || message.contains("bad_alloc");
  }
}
