package org.sightline.vla.cli;

import org.sightline.train.Evaluation;
import org.sightline.train.FineTuneResult;
import org.sightline.train.Mode;

/**
 * One mode's run: the held-out episodes before and after, and everything in between.
 *
 * @param before evaluation of the untrained adapters
 * @param after evaluation at the end
 */
record ModeResult(
    Mode mode, Evaluation before, Evaluation after, FineTuneResult result, RunHistory history) {

  double secondsPerStep() {
    return result.seconds() / Math.max(1, result.steps());
  }
}
