package org.sightline.vla.cli;

import java.util.List;
import org.sightline.Checks;
import org.sightline.train.LearningRateSchedule;
import org.sightline.train.listener.EarlyStopping;

/**
 * How a run is kept, ended and observed, as the command line describes it.
 *
 * @param stop null: no early stopping
 */
record RunSettings(
    LearningRateSchedule schedule,
    int logInterval,
    int checkpointInterval,
    int keepCheckpoints,
    Stop stop,
    double projectorDropout,
    boolean gradientCheckpointing) {
  /** What evaluations measure. */
  private static final List<String> METRICS =
      List.of("action_loss", "alignment_loss", "token_accuracy", "action_l1");

  /** Settings of an {@link EarlyStopping}. */
  record Stop(String metric, EarlyStopping.Goal goal, int patience, double minDelta) {
    Stop {
      Checks.atLeast("--early-stop", patience, 0);
      Checks.notNegative("--early-stop-delta", minDelta);
      if (!METRICS.contains(metric)) {
        throw new IllegalArgumentException(
            "--early-stop-metric must be one of %s, found %s".formatted(METRICS, metric));
      }
    }

    EarlyStopping listener() {
      return new EarlyStopping(metric, goal, patience, minDelta);
    }
  }

  RunSettings {
    Checks.atLeast("--log-interval", logInterval, 1);
    Checks.atLeast("--checkpoint-interval", checkpointInterval, 0);
    Checks.atLeast("--keep-checkpoints", keepCheckpoints, 1);
    Checks.belowOne("--projector-dropout", projectorDropout);
  }
}
