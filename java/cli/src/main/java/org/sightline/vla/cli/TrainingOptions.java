package org.sightline.vla.cli;

import java.util.List;
import org.sightline.AdamW;
import org.sightline.Checks;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.train.LearningRateSchedule;
import org.sightline.train.Mode;
import org.sightline.train.OutOfMemory;
import org.sightline.vla.finetune.JobConfig;
import org.sightline.vla.finetune.JobConfigBuilder;
import org.sightline.vla.finetune.TrainingConfig;
import org.sightline.vla.finetune.TrainingConfigBuilder;
import picocli.CommandLine.Option;

/** Modes, adapters, steps and the optimizer. */
final class TrainingOptions {
  private static final TrainingConfig DEFAULTS = TrainingConfig.DEFAULTS;

  @Option(
      names = "--modes",
      paramLabel = "MODE",
      split = ",",
      defaultValue = "default,align",
      description = "Of ${COMPLETION-CANDIDATES}, run one after another from the same start.")
  private List<Mode> modes;

  @Option(names = "--steps", paramLabel = "N", description = "Optimizer steps per mode.")
  private int steps = DEFAULTS.steps();

  @Option(names = "--batch-size", paramLabel = "N", description = "Samples per micro-batch.")
  private int batchSize = DEFAULTS.batchSize();

  @Option(
      names = "--gradient-accumulation-steps",
      paramLabel = "N",
      description = "Micro-batches per optimizer step.")
  private int gradientAccumulationSteps = DEFAULTS.gradientAccumulationSteps();

  @Option(names = "--lr", paramLabel = "RATE", description = "Learning rate at its highest.")
  private double learningRate = DEFAULTS.optimizer().learningRate();

  @Option(names = "--clip", paramLabel = "NORM", description = "Clip the gradient norm; 0: never.")
  private double clip = DEFAULTS.optimizer().maxGradNorm();

  @Option(
      names = "--schedule",
      defaultValue = "constant",
      description = "Of the learning rate: ${COMPLETION-CANDIDATES}.")
  private LearningRateSchedule.Shape schedule;

  @Option(
      names = "--warmup",
      paramLabel = "STEPS",
      description = "Steps in which the learning rate rises from 0.")
  private int warmup = DEFAULTS.schedule().warmupSteps();

  @Option(
      names = "--optimizer-state",
      description = "What bf16 adapters have besides: ${COMPLETION-CANDIDATES}.")
  private AdamW.Precision optimizerState = DEFAULTS.optimizer().precision();

  @Option(names = "--rank", description = "LoRA rank.")
  private int rank = JobConfig.DEFAULT_LORA.rank();

  @Option(names = "--alpha", description = "LoRA alpha; scale = alpha / rank.")
  private double alpha = JobConfig.DEFAULT_LORA.alpha();

  @Option(names = "--dropout", description = "LoRA dropout.")
  private double dropout = JobConfig.DEFAULT_LORA.dropout();

  @Option(
      names = "--dtype",
      converter = Converters.OfDType.class,
      description = "Of model and adapters: ${COMPLETION-CANDIDATES}.")
  private DType dtype = DType.FLOAT32;

  @Option(
      names = "--gradient-checkpointing",
      description = "Compute the decoder's blocks again in the backward pass: less memory, slower.")
  private boolean gradientCheckpointing;

  @Option(
      names = "--oom",
      defaultValue = "fail",
      description = {
        "What becomes of a step that memory does not suffice for: ${COMPLETION-CANDIDATES}.",
        "retry runs it again with gradient checkpointing, then with micro-batches in halves: the"
            + " same gradients."
      })
  private OutOfMemory oom;

  @Option(names = "--seed", description = "Of everything that is drawn.")
  private long seed = JobConfig.DEFAULT_SEED;

  void addTo(JobConfigBuilder job, RunOptions run) {
    Checks.positive("alpha", alpha);
    Checks.atLeast("warmup", warmup, 0);
    TrainingConfigBuilder training =
        TrainingConfig.builder()
            .steps(steps)
            .batchSize(batchSize)
            .gradientAccumulationSteps(gradientAccumulationSteps)
            .optimizer(
                AdamW.Config.defaults()
                    .withLearningRate(learningRate)
                    .withMaxGradNorm(clip)
                    .withPrecision(optimizerState))
            .schedule(new LearningRateSchedule(schedule, warmup))
            .gradientCheckpointing(gradientCheckpointing)
            .oom(oom);
    run.addTo(training);
    job.modes(modes)
        .dtype(dtype)
        .seed(seed)
        .lora(new LoraConfig(rank, alpha, dropout, false, LoraInit.GAUSSIAN))
        .training(training.build());
  }
}
