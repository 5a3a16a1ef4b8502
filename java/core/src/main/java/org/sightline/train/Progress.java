package org.sightline.train;

/**
 * How far a run has come.
 *
 * @param stepsDone optimizer steps of all runs of the state
 * @param steps optimizer steps of this run, those skipped included
 * @param skippedSteps steps up to the last event that changed nothing, as a gradient was not finite
 * @param skippedInExcess how many more steps were skipped than taken since there were as many of
 *     both
 * @param seconds spent in training steps, without evaluation and listeners
 * @param evaluatedAt steps done at the last evaluation that listeners were told of; -1: none
 */
public record Progress(
    int stepsDone,
    int steps,
    int skippedSteps,
    int skippedInExcess,
    double seconds,
    int evaluatedAt) {
  static Progress begin(int stepsDone) {
    return new Progress(stepsDone, 0, 0, 0, 0, -1);
  }

  Progress stepped(double elapsed) {
    return new Progress(
        stepsDone + 1, steps + 1, skippedSteps, skippedInExcess, seconds + elapsed, evaluatedAt);
  }

  /** After an event of {@code counted} steps, some of them skipped. */
  Progress told(int counted, int skipped) {
    int excess = Math.max(0, skippedInExcess + 2 * skipped - counted);
    return new Progress(stepsDone, steps, skippedSteps + skipped, excess, seconds, evaluatedAt);
  }

  Progress evaluated() {
    return new Progress(stepsDone, steps, skippedSteps, skippedInExcess, seconds, stepsDone);
  }
}
