package org.sightline.vla.cli;

import java.nio.file.Path;
import java.util.Locale;
import org.sightline.Checks;
import org.sightline.train.LearningRateSchedule;
import org.sightline.train.listener.EarlyStopping.Goal;
import picocli.CommandLine.Option;

/** How a run is configured, kept, ended and observed. */
final class RunOptions {
  /** Schedules by name. */
  enum Schedule {
    CONSTANT,
    COSINE,
    LINEAR
  }

  @Option(
      names = "--config",
      paramLabel = "FILE",
      description = {
        "YAML or JSON file of options (keys without dashes).",
        "The command line goes before the file, the file before --recipe."
      })
  Path config;

  @Option(
      names = "--recipe",
      paramLabel = "NAME",
      description = "Settings of a publication: blindvla (arXiv 2510.25616).")
  String recipe;

  @Option(
      names = "--resume",
      paramLabel = "DIR",
      description = {
        "Go on with the run in this folder, from its newest good checkpoint.",
        "All else but --steps, --lr and --clip comes from the folder; --data, --weights, --teacher,"
            + " --tokenizer and --teacher-cache may say where the same files now lie.",
        "It ends with the bytes of an unbroken run on the same number of threads."
      })
  Path resume;

  @Option(
      names = "--accept-changes",
      description = {
        "With --resume: go on although data, base model, tokenizer, teacher or settings are no"
            + " longer those of the run."
      })
  boolean acceptChanges;

  @Option(
      names = "--schedule",
      defaultValue = "constant",
      description = "Of the learning rate: ${COMPLETION-CANDIDATES}.")
  private Schedule schedule;

  @Option(
      names = "--warmup",
      defaultValue = "0",
      description = "Steps in which the learning rate rises from 0.")
  private int warmup;

  @Option(
      names = "--log-interval",
      defaultValue = "1",
      description = "Steps per row of the logs; a GPU is waited for once a row.")
  private int logInterval;

  @Option(
      names = "--checkpoint-interval",
      defaultValue = "100",
      description = "Steps between checkpoints; 0: at the end alone.")
  private int checkpointInterval;

  @Option(
      names = "--keep-checkpoints",
      defaultValue = "2",
      description = "How many of the newest stay.")
  private int keepCheckpoints;

  @Option(
      names = "--early-stop",
      paramLabel = "N",
      description = "End a run after more than N evaluations without getting better.")
  private Integer earlyStop;

  @Option(
      names = "--early-stop-metric",
      defaultValue = "action_loss",
      description = "What is to get better: action_loss, action_l1, token_accuracy, …")
  private String earlyStopMetric;

  @Option(names = "--early-stop-delta", defaultValue = "0", description = "By how much, to count.")
  private double earlyStopDelta;

  @Option(
      names = "--projector-dropout",
      defaultValue = "0",
      description = "Dropout of trained projectors (0.1 in the paper's code).")
  private double projectorDropout;

  @Option(
      names = "--gradient-checkpointing",
      description = "Compute the decoder's blocks again in the backward pass: less memory, slower.")
  private boolean gradientCheckpointing;

  /** What was asked for, checked. */
  RunSettings settings() {
    Checks.atLeast("--warmup", warmup, 0);
    LearningRateSchedule rate =
        switch (schedule) {
          case CONSTANT -> new LearningRateSchedule.Constant(warmup);
          case COSINE -> new LearningRateSchedule.Cosine(warmup);
          case LINEAR -> new LearningRateSchedule.Linear(warmup);
        };
    // Accuracies and cosines are to rise, losses and errors to fall.
    boolean higher = earlyStopMetric.toLowerCase(Locale.ROOT).matches(".*(accuracy|cosine).*");
    return new RunSettings(
        rate,
        logInterval,
        checkpointInterval,
        keepCheckpoints,
        earlyStop == null
            ? null
            : new RunSettings.Stop(
                earlyStopMetric, higher ? Goal.HIGHER : Goal.LOWER, earlyStop, earlyStopDelta),
        projectorDropout,
        gradientCheckpointing);
  }
}
