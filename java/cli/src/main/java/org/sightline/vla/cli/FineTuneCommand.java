package org.sightline.vla.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.sightline.formats.Printable;
import org.sightline.train.DeviceLostException;
import org.sightline.train.TrainingDivergedException;
import org.sightline.train.listener.ProgressBar;
import org.sightline.vla.finetune.FineTuneJob;
import org.sightline.vla.finetune.FineTuneJob.Start;
import org.sightline.vla.finetune.JobConfig;
import org.sightline.vla.finetune.ModeResult;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sightline finetune}: LoRA fine-tuning on an RLDS dataset, mode by mode. */
@Command(
    name = "finetune",
    description = {
      "Fine-tune a VLA with LoRA in one or more modes and compare them.",
      "Without --data it renders tabletop episodes; without --weights and --teacher these are"
          + " random."
    },
    mixinStandardHelpOptions = true,
    showDefaultValues = true,
    sortOptions = false,
    usageHelpAutoWidth = true)
final class FineTuneCommand implements Callable<Integer> {
  private static final List<String> BESIDE_RESUME =
      List.of(
          ("--resume --accept-changes --steps --lr --clip --oom --device --json --stacktrace"
                  + " --data --weights --teacher --tokenizer --teacher-cache") // Files may move.
              .split(" "));

  @Spec private CommandSpec spec;

  @Option(
      names = "--output",
      paramLabel = "DIR",
      required = true,
      description = {
        "Folder for adapters, CSV, plot; one subfolder a mode.",
        "In it the last adapter, and in best/ that of the lowest held-out loss."
      })
  private Path output;

  @Option(names = "--overwrite", description = "Allow an output folder that is not empty.")
  private boolean overwrite;

  @Option(
      names = "--resume",
      paramLabel = "DIR",
      description = {
        "Go on with the run in this folder, from its newest good checkpoint.",
        "All else but --steps, --lr and --clip comes from the folder; --data, --weights, --teacher,"
            + " --tokenizer and --teacher-cache may say where the same files now lie.",
        "It ends with the bytes of an unbroken run on the same number of threads."
      })
  private Path resume;

  @Option(
      names = "--accept-changes",
      description = {
        "With --resume: go on although data, base model, tokenizer, teacher or settings are no"
            + " longer those of the run."
      })
  private boolean acceptChanges;

  @Option(
      names = "--json",
      description =
          "Print the run as inspect --json does, once it has ended; all else goes to standard error.")
  private boolean json;

  @Mixin private JobOptions options;

  @Override
  public Integer call() throws Exception {
    if (acceptChanges && resume == null) {
      throw new IllegalArgumentException("--accept-changes needs --resume, the folder of a run");
    }
    if (resume != null) {
      requireNothingBesideResume();
    }
    CommandLine line = spec.commandLine();
    PrintWriter told = json ? line.getErr() : line.getOut();
    List<String> arguments = line.getParseResult().originalArgs();
    // What is wrong with the input is found here, while the output folder is as it was.
    try (FineTuneJob job = FineTuneJob.open(config(), start(), told, arguments)) {
      job.prepare().forEach(this::warn);
      Ending.saves();
      Optional<List<ModeResult>> results = job.run(Ending.LISTENER, ProgressBar.detect());
      if (results.isEmpty()) {
        told.println("Interrupted; to go on: " + resumption());
        told.flush();
        return Ending.INTERRUPTED;
      }
      plot(job, results.get(), told);
    } catch (DeviceLostException e) {
      told.println("To go on: " + resumption());
      told.flush();
      throw e;
    } catch (TrainingDivergedException e) {
      told.printf(Locale.ROOT, "To go on: %s --lr RATE%n", resumption());
      told.flush();
      throw e;
    }
    if (json) {
      line.getOut().println(RunInspection.of(output).toJson());
      line.getOut().flush();
    }
    return 0;
  }

  /** What was asked for, checked. */
  JobConfig config() throws IOException {
    return options.config(output);
  }

  private Start start() {
    if (resume != null) {
      return acceptChanges ? Start.RESUME_CHANGED : Start.RESUME;
    }
    return overwrite ? Start.OVERWRITE : Start.NEW;
  }

  /** What to type to go on. */
  private String resumption() {
    return Launcher.command() + " finetune --resume " + Launcher.quoted(output.toString());
  }

  private void plot(FineTuneJob job, List<ModeResult> results, PrintWriter told)
      throws IOException {
    job.requireHeld();
    Optional<String> undrawn = RunPlot.write(output.resolve("plot.png"), results);
    undrawn.ifPresent(
        why ->
            told.println("No plot.png: pictures cannot be drawn here (" + Printable.of(why) + ")"));
    told.println(
        "Adapters, logs%s and report: ".formatted(undrawn.isPresent() ? "" : ", plot")
            + Printable.of(output));
    told.flush();
  }

  private void warn(String text) {
    spec.commandLine().getErr().println("sightline: warning: " + Printable.of(text));
    spec.commandLine().getErr().flush();
  }

  private void requireNothingBesideResume() {
    List<String> others =
        spec.commandLine().getParseResult().matchedOptions().stream()
            .map(OptionSpec::longestName)
            .filter(name -> !BESIDE_RESUME.contains(name))
            .toList();
    if (!others.isEmpty()) {
      throw new IllegalArgumentException(
          "--resume takes all settings but --steps, --lr and --clip from its folder, found "
              + others);
    }
  }
}
