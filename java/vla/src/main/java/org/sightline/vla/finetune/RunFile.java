package org.sightline.vla.finetune;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.json.JsonFields;

/**
 * {@code run.json}: everything a run was started with. Its {@code options} are what {@code
 * --resume} reads; the rest tells people where the results came from.
 *
 * <pre>
 * options     every option and its value, wherever that came from
 * contents    digests of what it learns from: weights, tokenizer, teacher, each dataset
 * started     time, arguments, versions (Sightline's commit among them), hardware
 * resumed     the same for each time the run was taken up again, and what was changed then
 * </pre>
 */
public final class RunFile {
  /** Its name in the run's folder. */
  public static final String NAME = "run.json";

  /** Its key of the digests. */
  public static final String CONTENTS = "contents";

  /** The subfolders of a mode's folder: what it goes on from, and the best adapter so far. */
  public static final String CHECKPOINTS = "checkpoints";

  public static final String BEST = "best";

  private static final Gson GSON =
      new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

  private RunFile() {}

  /**
   * Writes the file at the start of a run.
   *
   * @param arguments of the command line that started it; empty: a program did
   * @param contents empty: not known yet
   */
  static void write(JobConfig config, List<String> arguments, Map<String, String> contents)
      throws IOException {
    JsonObject root = new JsonObject();
    root.add("options", options(config));
    root.add(CONTENTS, GSON.toJsonTree(contents));
    root.add("started", occasion(arguments));
    write(config.output(), root);
  }

  static void write(Path folder, JsonObject root) throws IOException {
    AtomicFile.writeText(folder.resolve(NAME), GSON.toJson(root) + "\n");
  }

  /**
   * What was written, with empty lists where nothing was.
   *
   * @throws org.sightline.formats.FormatException if it is something else by now
   */
  public static JsonObject read(Path folder) throws IOException {
    JsonFields root = JsonFields.read(folder.resolve(NAME));
    root.object("options");
    root.object("started");
    if (root.has(CONTENTS)) {
      for (String name : root.object(CONTENTS).keys()) {
        root.object(CONTENTS).text(name);
      }
    } else {
      root.json().add(CONTENTS, new JsonObject());
    }
    if (root.has("resumed")) {
      root.objects("resumed");
    } else {
      root.json().add("resumed", new JsonArray());
    }
    return root.json();
  }

  /**
   * Every setting under the name of the command line's option, without dashes; those that are not
   * set are left out. {@code run.json} has them, and {@code finetune --resume} reads them.
   */
  public static Map<String, Object> settings(JobConfig config) {
    DataConfig data = config.data();
    AlignmentConfig alignment = config.alignment();
    TrainingConfig training = config.training();
    Map<String, Object> options = new LinkedHashMap<>();
    options.put("data", data.data().stream().map(DataFolder::absolute).toList());
    options.put("camera", data.camera());
    options.put("augment", data.augment());
    options.put("augmentations-per-image", data.augmentationsPerImage());
    options.put("data-threads", data.dataThreads());
    options.put("shuffle-buffer", data.shuffleBuffer());
    options.put("skip-corrupt", data.skipCorrupt());
    options.put("keep-unlabelled", data.keepUnlabelled());
    options.put("eval-fraction", data.evalFraction());
    options.put("output", config.output());
    options.put("modes", config.modes());
    options.put("weights", config.base().weights());
    options.put("preset", config.base().preset());
    options.put("tokenizer", config.tokenizer());
    options.put("teacher", config.teacher());
    options.put("teacher-preset", config.teacherPreset());
    options.put("teacher-cache", config.teacherCache());
    options.put("device", config.device().toString());
    options.put("dtype", config.dtype());
    options.put("seed", config.seed());
    options.put("lambda", alignment.lambda());
    options.put("layers", alignment.layers());
    options.put("layer-reduction", alignment.layerReduction());
    options.put("teacher-norm", alignment.teacherNorm());
    options.put("projector-init", alignment.projectorInit().toString());
    options.put("projector-size", alignment.projectorSize());
    options.put("train-projector", alignment.trainProjector());
    options.put("projector-dropout", alignment.projectorDropout());
    options.put("rank", config.lora().rank());
    options.put("alpha", config.lora().alpha());
    options.put("dropout", config.lora().dropout());
    options.put("steps", training.steps());
    options.put("batch-size", training.batchSize());
    options.put("gradient-accumulation-steps", training.gradientAccumulationSteps());
    options.put("lr", training.optimizer().learningRate());
    options.put("clip", training.optimizer().maxGradNorm());
    options.put("optimizer-state", training.optimizer().precision());
    options.put("schedule", training.schedule().shape());
    options.put("warmup", training.schedule().warmupSteps());
    options.put("gradient-checkpointing", training.gradientCheckpointing());
    options.put("evaluations", training.evaluations());
    if (training.earlyStop() != null) {
      options.put("early-stop", training.earlyStop().evaluations());
      options.put("early-stop-metric", training.earlyStop().metric());
      options.put("early-stop-delta", training.earlyStop().delta());
    }
    options.put("log-interval", training.logInterval());
    options.put("checkpoint-interval", training.checkpointInterval());
    options.put("keep-checkpoints", training.keepCheckpoints());
    options.put("oom", training.oom());
    options
        .values()
        .removeIf(value -> value == null || value instanceof Collection<?> c && c.isEmpty());
    return options;
  }

  /** The settings of a run as they stand there. */
  public static JsonObject options(JobConfig config) {
    JsonObject options = new JsonObject();
    settings(config).forEach((name, value) -> options.add(name, json(value)));
    return options;
  }

  private static JsonElement json(Object value) {
    if (value instanceof Collection<?> items) {
      JsonArray array = new JsonArray();
      items.forEach(item -> array.add(json(item)));
      return array;
    }
    if (value instanceof Path path) { // The run may go on from another working directory.
      return new JsonPrimitive(path.toAbsolutePath().normalize().toString());
    }
    if (value instanceof DataFolder folder) {
      return new JsonPrimitive(folder.toString());
    }
    return GSON.toJsonTree(
        value instanceof Enum<?> constant ? constant.name().toLowerCase(Locale.ROOT) : value);
  }

  static JsonObject occasion(List<String> arguments) {
    JsonObject occasion = new JsonObject();
    occasion.addProperty("time", Instant.now().toString());
    occasion.add("arguments", GSON.toJsonTree(arguments));
    for (Map.Entry<String, Map<String, String>> section : RunEnvironment.describe().entrySet()) {
      occasion.add(section.getKey(), GSON.toJsonTree(section.getValue()));
    }
    return occasion;
  }
}
