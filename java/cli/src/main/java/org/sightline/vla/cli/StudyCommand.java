package org.sightline.vla.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code sightline study}: the paper's experiment. */
@Command(
    name = "study",
    description = {
      "The paper's experiment: success rates in the environments of its tables, and their tests."
    },
    mixinStandardHelpOptions = true,
    usageHelpAutoWidth = true,
    subcommands = {StudyRolloutCommand.class, StudyReportCommand.class})
final class StudyCommand implements Runnable {
  @Spec private CommandSpec spec;

  @Override
  public void run() {
    spec.commandLine().usage(spec.commandLine().getErr());
    throw new ParameterException(spec.commandLine(), "Missing command of study.");
  }
}
