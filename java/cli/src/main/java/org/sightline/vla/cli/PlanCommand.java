package org.sightline.vla.cli;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.sightline.Checks;
import org.sightline.Sightline;
import org.sightline.vla.finetune.JobConfig;
import org.sightline.vla.finetune.MemoryCheck;
import org.sightline.vla.memory.StepConfig;
import org.sightline.vla.memory.StepTrial;
import org.sightline.vla.teacher.TeacherConfig;
import org.sightline.vla.teacher.VisionTeacher;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sightline plan}: the memory of a training step, before anything is allocated. */
@Command(
    name = "plan",
    description = {
      "Tell how much memory a training step needs, tensor by tensor.",
      "It takes the options of finetune; those that change no memory do nothing."
    },
    mixinStandardHelpOptions = true,
    usageHelpAutoWidth = true,
    showDefaultValues = true)
final class PlanCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(
      names = "--text-tokens",
      defaultValue = "30",
      description = "Tokens of the longest row: BOS, prompt, action, EOS.")
  private int textTokens;

  @Option(
      names = "--memory",
      paramLabel = "SIZE",
      converter = Converters.Bytes.class,
      description = "Memory there is, 80GB or 80: the exit code is 2 if it is too little.")
  private Long memory;

  @Option(
      names = "--measure",
      paramLabel = "N",
      description = "Also run N steps on --device, with random weights: time and peak memory.")
  private Integer measure;

  @Option(names = "--json", description = "Print one JSON object, every tensor in it.")
  private boolean json;

  @Option(names = "--no-align", hidden = true, description = "As --modes default.")
  private boolean plain;

  @Mixin private JobOptions options;

  @Override
  public Integer call() throws Exception {
    JobConfig job = options.config(Path.of(""));
    try {
      return plan(job);
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "the step passes 2^63 bytes: --batch-size %d, --rank %d or --projector-size %d is too large"
              .formatted(
                  job.training().batchSize(), job.lora().rank(), job.alignment().projectorSize()),
          e);
    }
  }

  private int plan(JobConfig job) throws Exception {
    Sightline.load();
    Checks.atLeast("--text-tokens", textTokens, StepConfig.LABELLED_TOKENS + 1);
    StepConfig step = job.step(textTokens, plain ? null : teacher(job), job.teacherCache() != null);
    if (measure != null) {
      job.device().ensureAvailable();
      MemoryCheck.require(job);
    }
    StepTrial trial =
        measure == null ? null : StepTrial.run(step, job.device(), measure, Ending.LISTENER);
    Ending.check();
    var plan = new MemoryPlan(step, memory, trial);
    PrintWriter out = spec.commandLine().getOut();
    out.print(json ? Inspection.json(plan.map()) + "\n" : plan.text());
    out.flush();
    return plan.fits() ? 0 : Errors.USER;
  }

  /** Where none is named that of the paper, for nano one of its size. */
  private static TeacherConfig teacher(JobConfig job) {
    if (job.teacherPreset() == null && job.model().preset().equals("nano")) {
      return TeacherConfig.nano("random");
    }
    String preset = job.teacherPreset() == null ? "c-radio_v3-l" : job.teacherPreset();
    return VisionTeacher.config(preset, job.model().dino().grid());
  }
}
