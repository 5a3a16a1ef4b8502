package org.sightline.vla.cli;

import java.util.Locale;
import org.sightline.vla.finetune.TrainingConfig;
import org.sightline.vla.finetune.TrainingConfig.EarlyStop;
import org.sightline.vla.finetune.TrainingConfigBuilder;
import picocli.CommandLine.Option;

/** How a run is observed, ended and kept. */
final class RunOptions {
  private static final TrainingConfig DEFAULTS = TrainingConfig.DEFAULTS;

  @Option(names = "--evaluations", paramLabel = "N", description = "Evaluations during a run.")
  private int evaluations = DEFAULTS.evaluations();

  @Option(
      names = "--early-stop",
      paramLabel = "N",
      description = "End a run after more than N evaluations without getting better.")
  private Integer earlyStop;

  @Option(
      names = "--early-stop-metric",
      paramLabel = "NAME",
      description =
          "What is to get better: action_loss, alignment_loss, action_l1 or token_accuracy.")
  private String earlyStopMetric = "action_loss";

  @Option(names = "--early-stop-delta", description = "By how much, to count.")
  private double earlyStopDelta;

  @Option(
      names = "--log-interval",
      paramLabel = "STEPS",
      description = "Steps per row of the logs; a GPU is waited for once a row.")
  private int logInterval = DEFAULTS.logInterval();

  @Option(
      names = "--checkpoint-interval",
      paramLabel = "STEPS",
      description = "Steps between checkpoints; 0: at the end alone.")
  private int checkpointInterval = DEFAULTS.checkpointInterval();

  @Option(
      names = "--keep-checkpoints",
      paramLabel = "N",
      description = "How many of the newest stay.")
  private int keepCheckpoints = DEFAULTS.keepCheckpoints();

  void addTo(TrainingConfigBuilder training) {
    training
        .evaluations(evaluations)
        .earlyStop(
            earlyStop == null
                ? null
                : new EarlyStop(
                    earlyStop, earlyStopMetric.toLowerCase(Locale.ROOT), earlyStopDelta))
        .logInterval(logInterval)
        .checkpointInterval(checkpointInterval)
        .keepCheckpoints(keepCheckpoints);
  }
}
