package org.sightline.train;

/**
 * Told of a run as it goes, on the thread that trains. An exception from a listener ends the run.
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

  /** {@link FineTuneConfig#logInterval} steps were done, or fewer at the end of a run. */
  default void step(StepEvent event) {}

  /** An evaluation was done. */
  default void evaluation(Evaluation evaluation) {}

  /** Asked after every event; true ends the run in good order. */
  default boolean stopRequested() {
    return false;
  }

  /** The run ended. */
  default void end(FineTuneResult result) {}

  /** The run failed; the exception is on its way to the caller. */
  default void failure(Throwable cause) {}
}
