package org.sightline.vla.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.sightline.AdamW;
import org.sightline.Checks;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.Sightline;
import org.sightline.formats.file.FolderLock;
import org.sightline.train.LayerReduction;
import org.sightline.train.Mode;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help;
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
final class FinetuneCommand implements Callable<Integer> {
  private static final List<String> BESIDE_RESUME =
      List.of(
          ("--resume --accept-changes --steps --lr --clip --json --stacktrace"
                  + " --data --weights --teacher --tokenizer --teacher-cache") // Files may move.
              .split(" "));

  @Spec private CommandSpec spec;

  @Mixin private DataOptions data;

  @Mixin private RunOptions run;

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
      names = "--modes",
      paramLabel = "MODE",
      split = ",",
      defaultValue = "default,align",
      description = "Of ${COMPLETION-CANDIDATES}, run one after another from the same start.")
  private List<Mode> modes;

  @Option(
      names = "--preset",
      description =
          "Shape of the model: nano or openvla-7b. Without it that of the folder in --weights,"
              + " else nano.")
  private String preset;

  @Option(
      names = "--weights",
      converter = HubCache.Model.class,
      paramLabel = "PATH[,PATH]",
      showDefaultValue = Help.Visibility.NEVER,
      description =
          "Base model: a Hugging Face folder (config.json, safetensors, tokenizer.json), the id of a"
              + " downloaded one (openvla/openvla-7b), or safetensors files.")
  private List<Path> weights = List.of();

  @Option(
      names = "--teacher",
      converter = HubCache.Model.class,
      paramLabel = "PATH",
      description =
          "Vision teacher: a Hugging Face folder, the id of a downloaded one (nvidia/C-RADIOv3-L), or"
              + " a safetensors file.")
  private Path teacher;

  @Option(
      names = "--teacher-preset",
      paramLabel = "NAME",
      description =
          "Which teacher --teacher is, where no config.json says so: c-radio_v3-l, dinov2_vitl14, "
              + "siglip-so400m-patch14-224, theia-base-patch16-224, …")
  private String teacherPreset;

  @Option(
      names = "--tokenizer",
      paramLabel = "PATH",
      description =
          "tokenizer.json or its folder; without it that of --weights, or a small built-in one.")
  private Path tokenizer;

  @Option(names = "--steps", defaultValue = "300", description = "Optimizer steps per mode.")
  private int steps;

  @Option(names = "--batch-size", defaultValue = "8", description = "Samples per micro-batch.")
  private int batchSize;

  @Option(names = "--accumulate", defaultValue = "1", description = "Micro-batches per step.")
  private int accumulate;

  @Option(names = "--lr", defaultValue = "2e-3", description = "Learning rate at its highest.")
  private double learningRate;

  @Option(names = "--clip", defaultValue = "1", description = "Clip the gradient norm; 0: never.")
  private double clip;

  @Option(names = "--lambda", defaultValue = "0.2", description = "Weight of the alignment loss.")
  private double lambda;

  @Option(
      names = "--layers",
      split = ",",
      paramLabel = "LAYER",
      showDefaultValue = Help.Visibility.NEVER,
      description = "Aligned layers, 0 = embeddings; without it the preset's.")
  private List<Integer> layers = List.of();

  @Option(
      names = "--layer-reduction",
      defaultValue = "sum",
      description = "Several layers' losses: ${COMPLETION-CANDIDATES}.")
  private LayerReduction reduction;

  @Option(
      names = "--projector-size",
      defaultValue = "256",
      description = "Hidden width of the alignment projector (2048 in the paper).")
  private int projectorSize;

  @Option(
      names = "--train-projector",
      description = "Train the alignment projectors too; the paper keeps them frozen.")
  private boolean trainProjector;

  @Option(names = "--rank", defaultValue = "32", description = "LoRA rank.")
  private int rank;

  @Option(names = "--alpha", defaultValue = "16", description = "LoRA alpha; scale = alpha / rank.")
  private double alpha;

  @Option(names = "--dropout", defaultValue = "0", description = "LoRA dropout.")
  private double dropout;

  @Option(
      names = "--dtype",
      converter = FamiliarNames.OfDType.class,
      defaultValue = "float32",
      description = "Of model and adapters: ${COMPLETION-CANDIDATES}.")
  private DType dtype;

  @Option(
      names = "--eval-fraction",
      defaultValue = "0.15",
      description = "Share of the episodes held out for evaluation.")
  private double evalFraction;

  @Option(names = "--evaluations", defaultValue = "5", description = "Evaluations during a run.")
  private int evaluations;

  @Option(names = "--seed", defaultValue = "7", description = "Of everything that is drawn.")
  private long seed;

  @Option(
      names = "--json",
      description =
          "Print the run as inspect --json does, once it has ended; all else goes to standard error.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    FinetuneSettings settings = settings();
    boolean resumed = run.resume != null;
    if (run.acceptChanges && !resumed) {
      throw new IllegalArgumentException("--accept-changes needs --resume, the folder of a run");
    }
    if (resumed) {
      requireNothingBesideResume();
    } else {
      OutputFolder.requireUsable(output, overwrite);
    }
    MemoryCheck.require(settings);
    Sightline.load();
    CommandLine line = spec.commandLine();
    PrintWriter told = json ? line.getErr() : line.getOut();
    // What is wrong with the input is found here, while the output folder is as it was.
    try (FinetuneJob job = FinetuneJob.open(settings, told)) {
      Files.createDirectories(output);
      try (FolderLock lock = OutputFolder.lock(output)) {
        if (!resumed) {
          OutputFolder.requireUsable(output, overwrite); // Another run may have come first.
          OutputFolder.clear(output, settings.base().isRandom(), settings.teacher() == null);
          RunFile.write(output, spec, Map.of());
        }
        Map<String, String> contents = job.prepare(lock);
        if (resumed) {
          RunResumption resumption = RunResumption.of(output, spec, contents);
          resumption.requireSameContents(run.acceptChanges);
          job.requireCanGoOn(run.acceptChanges);
          resumption.write();
          resumption.warnings().forEach(this::warn);
        } else {
          RunFile.write(output, spec, contents);
        }
        Ending.saves();
        int code = job.run() ? 0 : Ending.INTERRUPTED;
        if (json) {
          line.getOut().println(RunInspection.of(output).toJson());
          line.getOut().flush();
        }
        return code;
      }
    }
  }

  private void warn(String text) {
    spec.commandLine().getErr().println("sightline: warning: " + text);
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

  private FinetuneSettings settings() throws IOException {
    Checks.atLeast("--rank", rank, 1);
    Checks.positive("--alpha", alpha);
    Checks.belowOne("--dropout", dropout);
    Checks.notNegative("--lr", learningRate);
    Checks.notNegative("--clip", clip);
    AdamW.Config adamW = AdamW.Config.defaults();
    return new FinetuneSettings(
        modes,
        BaseModel.of("--weights", PathList.of(weights), preset),
        teacher,
        teacherPreset,
        tokenizer,
        data.settings(),
        evalFraction,
        steps,
        batchSize,
        accumulate,
        evaluations,
        lambda,
        layers,
        reduction,
        projectorSize,
        trainProjector,
        new LoraConfig(rank, alpha, dropout, false, LoraInit.GAUSSIAN),
        new AdamW.Config(
            learningRate,
            adamW.beta1(),
            adamW.beta2(),
            adamW.epsilon(),
            adamW.weightDecay(),
            clip,
            true),
        dtype,
        run.settings(),
        seed,
        output);
  }
}
