package org.sightline.train;

import org.sightline.train.checkpoint.Checkpointable;

/**
 * Told of a run as it goes, on the thread that trains. An exception from a listener ends the run.
 *
 * <p>One that is {@link Checkpointable} is saved with the run and restored, before {@link #begin},
 * when it is resumed.
 */
public interface TrainingListener {
  /**
   * A run begins.
   *
   * @param config of the run
   * @param trainedTensors number of tensors the optimizer has
   * @param trainedParameters number of their elements
   */
  default void begin(FineTuneConfig config, int trainedTensors, long trainedParameters) {}

  /**
   * The run goes on from a checkpoint; comes before {@link #begin}.
   *
   * @param step optimizer steps done
   */
  default void resume(int step) {}

  /** Something a person should know that does not end the run. */
  default void warning(String message) {}

  /** {@link FineTuneConfig#logInterval} steps were done, or fewer at the end of a run. */
  default void step(StepEvent event) {}

  /** An evaluation was done. */
  default void evaluation(Evaluation evaluation) {}

  /** Asked after every event; true ends the run in good order. */
  default boolean stopRequested() {
    return false;
  }

  /**
   * Asked before every step; true breaks the run off as an interrupt of the thread does: it is
   * saved as it is, without a last evaluation, to go on as if nothing had happened.
   */
  default boolean interruptRequested() {
    return false;
  }

  /** The run ended. */
  default void end(FineTuneResult result) {}

  /** The run failed; the exception is on its way to the caller. */
  default void failure(Throwable cause) {}
}
