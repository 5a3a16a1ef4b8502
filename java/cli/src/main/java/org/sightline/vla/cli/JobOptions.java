package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Path;
import org.sightline.vla.finetune.JobConfig;
import org.sightline.vla.finetune.JobConfigBuilder;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** A fine-tuning job, for the command that runs it and the one that plans it. */
final class JobOptions {
  @Option(
      names = "--config",
      paramLabel = "FILE",
      description = {
        "YAML or JSON file of options (keys without dashes); \"schema\" prints its JSON Schema.",
        "The command line goes before the file, the file before --recipe."
      })
  private Path config;

  @Option(
      names = "--recipe",
      paramLabel = "NAME",
      description = "Settings of a publication: blindvla (arXiv 2510.25616).")
  private String recipe;

  @Mixin private DataOptions data;

  @Mixin private ModelOptions model;

  @Option(
      names = "--tokenizer",
      paramLabel = "PATH",
      description =
          "tokenizer.json or its folder; without it that of --weights, or a small built-in one.")
  private Path tokenizer;

  @Mixin private DeviceOption device;

  @Mixin private AlignmentOptions alignment;

  @Mixin private TrainingOptions training;

  @Mixin private RunOptions run;

  /** What was asked for, checked. */
  JobConfig config(Path output) throws IOException {
    JobConfigBuilder job =
        JobConfig.builder(output)
            .base(model.base())
            .tokenizer(tokenizer)
            .data(data.config())
            .device(device.device());
    alignment.addTo(job);
    training.addTo(job, run);
    return job.build();
  }
}
