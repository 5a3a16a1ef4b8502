package org.sightline.vla.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.sightline.AdamW;
import org.sightline.Checks;
import org.sightline.DType;
import org.sightline.Sightline;
import org.sightline.vla.memory.StepSettings;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.teacher.TeacherConfig;
import org.sightline.vla.teacher.VisionTeacher;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code sightline plan}: the memory of a training step, before anything is allocated. */
@Command(
    name = "plan",
    description = "Tell how much memory a training step needs, tensor by tensor.",
    mixinStandardHelpOptions = true,
    usageHelpAutoWidth = true,
    showDefaultValues = true)
final class PlanCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Option(names = "--preset", description = "Shape of the model: nano, mid or openvla-7b.")
  private String preset;

  @Option(
      names = "--weights",
      converter = HubCache.Model.class,
      paramLabel = "PATH[,PATH]",
      showDefaultValue = Help.Visibility.NEVER,
      description = "Or of these weights: a Hugging Face folder, or safetensors files of a preset.")
  private List<Path> weights = List.of();

  @Option(
      names = "--teacher-preset",
      paramLabel = "NAME",
      description = "A published teacher; default: c-radio_v3-l, for nano one of its size.")
  private String teacher;

  @Option(names = "--batch-size", defaultValue = "8", description = "Samples per micro-batch.")
  private int batchSize;

  @Option(
      names = "--text-tokens",
      defaultValue = "30",
      description = "Tokens of the longest row: BOS, prompt, action, EOS.")
  private int textTokens;

  @Option(names = "--rank", defaultValue = "32", description = "LoRA rank.")
  private int rank;

  @Option(
      names = "--dtype",
      converter = FamiliarNames.OfDType.class,
      defaultValue = "float32",
      description = "${COMPLETION-CANDIDATES}.")
  private DType dtype;

  @Option(
      names = "--optimizer-state",
      defaultValue = "master",
      description = "What bf16 adapters have besides: ${COMPLETION-CANDIDATES}.")
  private AdamW.Precision precision;

  @Option(
      names = "--layers",
      split = ",",
      description = "Aligned hidden states; default: the preset's.")
  private List<Integer> layers;

  @Option(names = "--no-align", description = "Plan a run without alignment.")
  private boolean plain;

  @Option(names = "--projector-size", defaultValue = "2048", description = "Inner width P.")
  private int projectorSize;

  @Option(names = "--teacher-cache", description = "All teacher features come from the cache.")
  private boolean cached;

  @Option(
      names = "--gradient-checkpointing",
      description = "Decoder blocks keep their inputs alone, and run again.")
  private boolean checkpointing;

  @Option(
      names = "--memory",
      paramLabel = "SIZE",
      converter = ByteCount.class,
      description = "Memory there is, 80GB or 80: the exit code is 2 if it is too little.")
  private Long memory;

  @Option(
      names = "--measure",
      paramLabel = "N",
      description = "Also run N steps on this CPU, with random weights: time and peak memory.")
  private Integer measure;

  @Option(names = "--json", description = "Print one JSON object, every tensor in it.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    try {
      return plan();
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "the step passes 2^63 bytes: --batch-size %d, --rank %d or --projector-size %d is too large"
              .formatted(batchSize, rank, projectorSize),
          e);
    }
  }

  private int plan() throws Exception {
    Sightline.load();
    StepSettings settings = settings();
    StepTrial trial = measure == null ? null : StepTrial.run(settings, measure);
    var plan = new Plan(settings, memory, trial);
    PrintWriter out = spec.commandLine().getOut();
    out.print(json ? Inspection.json(plan.map()) + "\n" : plan.text());
    out.flush();
    return plan.fits() ? 0 : Errors.USER;
  }

  private StepSettings settings() throws IOException {
    Checks.atLeast("--batch-size", batchSize, 1);
    Checks.atLeast("--rank", rank, 1);
    Checks.atLeast("--projector-size", projectorSize, 1);
    Checks.atLeast("--text-tokens", textTokens, StepSettings.LABELLED_TOKENS + 1);
    OpenVlaConfig model =
        weights.isEmpty()
            ? OpenVlaConfig.ofPreset(preset == null ? "nano" : preset)
            : BaseModel.of("--weights", PathList.of(weights), preset).config();
    List<Integer> aligned = layers == null ? List.of(model.alignedLayer()) : layers;
    OptionChecks.layers(aligned, model);
    return new StepSettings(
        model,
        batchSize,
        textTokens,
        StepSettings.LABELLED_TOKENS,
        rank,
        dtype,
        precision,
        plain ? List.of() : aligned,
        projectorSize,
        plain ? null : teacher(model),
        cached,
        checkpointing);
  }

  private TeacherConfig teacher(OpenVlaConfig model) {
    if (teacher == null && model.preset().equals("nano")) {
      return TeacherConfig.nano("random");
    }
    return VisionTeacher.config(teacher == null ? "c-radio_v3-l" : teacher, model.dino().grid());
  }
}
