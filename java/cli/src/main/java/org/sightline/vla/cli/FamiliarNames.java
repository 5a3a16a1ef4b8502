package org.sightline.vla.cli;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;

/**
 * Names that users bring along from Hugging Face's Trainer, PEFT and OpenVLA's finetune.py: those
 * that mean the same as one of ours are taken for it, for the others we say what there is instead.
 */
final class FamiliarNames {
  /** Our option, then others' names for it. */
  static final Map<String, String> SAME =
      table(
          """
          adapter: adapter-path adapter-dir peft-model
          alpha: lora-alpha
          augment: image-aug
          batch-size: per-device-train-batch-size train-batch-size
          checkpoint-interval: save-steps
          clip: max-grad-norm
          augmentations-per-image: views
          data: dataset dataset-dir dataset-path data-dir
          data-threads: dataloader-num-workers num-workers
          dropout: lora-dropout
          dtype: torch-dtype
          gradient-accumulation-steps: accumulate grad-accumulation-steps gradient-accumulation
          keep-checkpoints: save-total-limit
          log-interval: logging-steps
          lr: learning-rate
          output: output-dir
          overwrite: overwrite-output-dir
          rank: lora-rank lora-r r
          schedule: lr-scheduler-type lr-scheduler
          shuffle-buffer: shuffle-buffer-size
          steps: max-steps max-train-steps num-steps
          tokenizer: tokenizer-path tokenizer-name
          warmup: warmup-steps
          weights: vla-path model-name-or-path model-path model base-model
          """);

  /** What there is instead, then the names. */
  private static final Map<String, String> INSTEAD =
      table(
          """
          --steps counts optimizer steps of --batch-size × --gradient-accumulation-steps samples: epochs num-epochs max-epochs num-train-epochs
          --dtype bfloat16: bf16 fp16 half mixed-precision
          --dtype float32: fp32
          --data DIR is the folder of one version of a dataset: data-root-dir dataset-name
          --output DIR is a folder for one run: run-root-dir run-id-note
          --evaluations N is how often a run is evaluated: eval-steps eval-strategy evaluation-strategy
          --early-stop N: early-stopping-patience patience
          --resume DIR is the folder of a run: resume-from-checkpoint
          LoRA is always used, on all linear layers: use-lora target-modules
          --gradient-checkpointing saves memory, bases are not quantised: use-quantization load-in-4bit load-in-8bit
          AdamW has PyTorch's weight decay: weight-decay
          tensorboard reads the folder of a run: wandb-project wandb-entity report-to
          --device cuda: gpu cuda use-cuda no-cuda
          """);

  private static final Map<String, String> COMMANDS =
      table(
          """
          finetune: train fine-tune tune
          eval: evaluate test
          act: predict infer inference generate
          export: merge
          inspect: show info
          """);

  private FamiliarNames() {}

  private static Map<String, String> table(String lines) {
    Map<String, String> byName = new HashMap<>();
    for (String line : lines.split("\n")) {
      int colon = line.lastIndexOf(':');
      for (String name : line.substring(colon + 1).strip().split(" ")) {
        byName.put(name, line.substring(0, colon));
      }
    }
    return byName;
  }

  /**
   * Our name of an option, without dashes; the name itself if it is none of ours.
   *
   * @param known whether a name is one of ours
   */
  static String option(String name, Predicate<String> known) {
    String key = normal(name);
    String ours = known.test(key) ? key : SAME.getOrDefault(key, name);
    return known.test(ours) ? ours : name;
  }

  /** What there is in place of an option, as users type it or as a key of a file. */
  static Optional<String> instead(String option) {
    return Optional.ofNullable(INSTEAD.get(normal(option.replaceFirst("^--?", "").split("=")[0])));
  }

  /** The command that does what users expect of another name. */
  static Optional<String> commandFor(String name) {
    return Optional.ofNullable(COMMANDS.get(normal(name)));
  }

  /** Python's programs have underscores. */
  private static String normal(String name) {
    return name.toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** Arguments with our names; a flag may have Python's {@code True} or {@code False} after it. */
  static String[] translate(CommandLine root, String... arguments) {
    String command = command(arguments);
    if (!root.getSubcommands().containsKey(command)) {
      return arguments;
    }
    CommandSpec spec = root.getSubcommands().get(command).getCommandSpec();
    List<String> translated = new ArrayList<>();
    for (int i = 0; i < arguments.length; i++) {
      String[] parts = arguments[i].split("=", 2);
      String name = parts[0].startsWith("--") ? parts[0].substring(2) : "";
      String ours = "--" + option(name, known -> spec.findOption("--" + known) != null);
      OptionSpec option = name.isEmpty() ? null : spec.findOption(ours);
      boolean flag = option != null && option.arity().max() == 0;
      if (flag && parts.length == 1 && i + 1 < arguments.length && isTruth(arguments[i + 1])) {
        parts = new String[] {ours, arguments[++i]};
      }
      if (option == null) {
        translated.add(arguments[i]);
      } else if (!flag || parts.length == 1 || !isTruth(parts[1])) {
        translated.add(parts.length == 1 ? ours : ours + "=" + parts[1]);
      } else if (Boolean.parseBoolean(parts[1])) {
        translated.add(ours);
      } else if (option.negatable()) {
        translated.add("--no-" + ours.substring(2));
      }
    }
    return translated.toArray(String[]::new);
  }

  /** The command that arguments are for; empty if they name none. */
  static String command(String... arguments) {
    return Arrays.stream(arguments).filter(arg -> !arg.startsWith("-")).findFirst().orElse("");
  }

  private static boolean isTruth(String text) {
    return text.equalsIgnoreCase("true") || text.equalsIgnoreCase("false");
  }
}
