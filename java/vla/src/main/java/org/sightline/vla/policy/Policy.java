package org.sightline.vla.policy;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.Sightline;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.vla.checkpoint.BaseModel;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.checkpoint.PathChecks;
import org.sightline.vla.data.image.Augmentation;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.Prompt;
import org.sightline.vla.data.text.PromptTokenizer;
import org.sightline.vla.model.LoraPlan;
import org.sightline.vla.model.OpenVla;

/**
 * A policy that acts: a base model, a PEFT adapter on it, and what belongs to them.
 *
 * <pre>{@code
 * try (Policy policy = Policy.load(Path.of("runs/finetune/align"))) {
 *   Action action = policy.act(ImageCodec.read(camera), "put the spoon on the towel");
 * }
 * }</pre>
 *
 * <p>Not thread-safe.
 */
public final class Policy implements AutoCloseable {
  private final OpenVla model;
  private final PromptTokenizer tokenizer;
  private final ActionTokenizer actions;
  private final ActionStatistics statistics;
  private final ImageTransform images;

  private Policy(
      OpenVla model,
      PromptTokenizer tokenizer,
      ActionTokenizer actions,
      ActionStatistics statistics,
      ImageTransform images) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.actions = actions;
    this.statistics = statistics;
    this.images = images;
  }

  /**
   * Loads an adapter on its base model, as its run had them.
   *
   * @param adapter PEFT folder, such as a mode's of a fine-tuning run or {@code best} in it
   * @throws IllegalArgumentException if it names no base model that is here, or does not fit it
   * @throws IOException if a file cannot be read
   */
  public static Policy load(Path adapter) throws IOException {
    return builder().adapter(adapter).load();
  }

  /** A builder of a policy that is not wholly described by its adapter. */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * The action for what the camera sees.
   *
   * @param instruction what the robot is to do, such as "put the spoon on the towel"
   * @throws IllegalArgumentException if the model answers without any action
   */
  public Action act(RgbImage image, String instruction) {
    requireSaid(instruction);
    float[] pixels = new float[images.length()];
    images.apply(image, pixels, 0);
    long[] prompt = Prompt.ids(tokenizer, instruction);
    try (PointerScope scope = new PointerScope()) {
      Tensor values =
          Tensor.create(pixels, 1, ImageTransform.CHANNELS, images.size(), images.size());
      Tensor ids = Tensor.create(prompt, 1, prompt.length);
      return Action.of(model.generate(values, ids, Step.ACTION_SIZE)[0], actions, statistics);
    }
  }

  /**
   * The actions for several cameras, with action ids alone in competition as in the paper's
   * rollouts. Each depends on its own image, instruction and seed.
   *
   * @param cameras with an instruction and a seed each
   * @param temperature of the draws; 0: the most likely tokens
   * @param seeds of the draws
   * @throws IllegalArgumentException if there are not as many of each, or an instruction is blank
   */
  public List<Action> act(
      List<RgbImage> cameras, List<String> instructions, double temperature, long[] seeds) {
    if (instructions.size() != cameras.size() || seeds.length != cameras.size()) {
      throw new IllegalArgumentException(
          "instructions and seeds must be as many as cameras, %d, found %d and %d"
              .formatted(cameras.size(), instructions.size(), seeds.length));
    }
    instructions.forEach(Policy::requireSaid);
    List<long[]> prompts = instructions.stream().map(i -> Prompt.ids(tokenizer, i)).toList();
    Map<Integer, List<Integer>> byLength = new TreeMap<>();
    for (int i = 0; i < cameras.size(); i++) {
      byLength.computeIfAbsent(prompts.get(i).length, length -> new ArrayList<>()).add(i);
    }
    Action[] chosen = new Action[cameras.size()];
    byLength.forEach(
        (length, rows) -> {
          int count = rows.size();
          float[] pixels = new float[Math.multiplyExact(count, images.length())];
          long[] ids = new long[count * length];
          for (int row = 0; row < count; row++) {
            images.apply(cameras.get(rows.get(row)), pixels, row * images.length());
            System.arraycopy(prompts.get(rows.get(row)), 0, ids, row * length, length);
          }
          var choice =
              new ActionChoice(
                  actions, temperature, rows.stream().mapToLong(row -> seeds[row]).toArray());
          try (PointerScope scope = new PointerScope()) {
            long size = images.size();
            Tensor values = Tensor.create(pixels, count, ImageTransform.CHANNELS, size, size);
            long[][] said =
                model.generate(values, Tensor.create(ids, count, length), Step.ACTION_SIZE, choice);
            for (int row = 0; row < count; row++) {
              chosen[rows.get(row)] = Action.of(said[row], actions, statistics);
            }
          }
        });
    return List.of(chosen);
  }

  private static void requireSaid(String instruction) {
    if (instruction.isBlank()) {
      throw new IllegalArgumentException("instruction must say what to do, found nothing");
    }
  }

  /** In evaluation mode. */
  public OpenVla model() {
    return model;
  }

  public PromptTokenizer tokenizer() {
    return tokenizer;
  }

  public ActionTokenizer actions() {
    return actions;
  }

  /** Scale its actions. */
  public ActionStatistics statistics() {
    return statistics;
  }

  /** From camera images to its pixels. */
  public ImageTransform images() {
    return images;
  }

  @Override
  public void close() {
    model.close();
    tokenizer.close();
  }

  /** Names what a {@link Policy} consists of; what is not named is the adapter's run's. */
  public static final class Builder {
    private Path adapter;
    private List<Path> weights = List.of();
    private String preset;
    private Path tokenizer;
    private Path statistics;
    private String unnormKey;
    private Boolean centerCrop;
    private Device device = Device.CPU;
    private DType dtype;

    private Builder() {}

    /** PEFT folder; without it the bare model acts. */
    public Builder adapter(Path folder) {
      this.adapter = folder;
      return this;
    }

    /** Base model: its Hugging Face folder, or safetensors files; else that of the adapter. */
    public Builder weights(List<Path> paths) {
      this.weights = paths;
      return this;
    }

    /** Shape of weights that are files. */
    public Builder preset(String name) {
      this.preset = name;
      return this;
    }

    /**
     * {@code tokenizer.json} or its folder; else the run's, the model's, or a small built-in one.
     */
    public Builder tokenizer(Path path) {
      this.tokenizer = path;
      return this;
    }

    /** {@code dataset_statistics.json}; else the adapter's, or the model's {@code norm_stats}. */
    public Builder statistics(Path file) {
      this.statistics = file;
      return this;
    }

    /** Dataset whose statistics scale the actions, where there are several. */
    public Builder unnormKey(String name) {
      this.unnormKey = name;
      return this;
    }

    /**
     * Whether it sees the centre of images, as after training with augmentation; null: the run's.
     */
    public Builder centerCrop(Boolean on) {
      this.centerCrop = on;
      return this;
    }

    /** Where to compute; the CPU if not called. */
    public Builder device(Device place) {
      this.device = place;
      return this;
    }

    /** Type to compute in; null: the run's, else float32. */
    public Builder dtype(DType type) {
      this.dtype = type;
      return this;
    }

    /** Passes if what is named is there: before other things take time. */
    public void requireThere() {
      PathChecks.exists("adapter", adapter);
      if (adapter != null && !InputFile.exists(adapter.resolve("adapter_config.json"))) {
        throw new IllegalArgumentException(
            "adapter must be a PEFT folder, such as one mode's of a fine-tuning run: found no"
                + " adapter_config.json in "
                + adapter
                + AdapterRun.hint(adapter));
      }
      PathChecks.exists("tokenizer", tokenizer);
      PathChecks.exists("statistics", statistics);
    }

    /**
     * Opens everything named, and checks that it fits together.
     *
     * @throws IllegalArgumentException naming the argument, the value found and the value expected
     * @throws IOException if a file cannot be read
     */
    public Policy load() throws IOException {
      requireThere();
      AdapterRun run = AdapterRun.of(adapter);
      BaseModel base = run.base(weights, preset);
      Augmentation seen = run.centerCrop(centerCrop) ? Augmentation.PAPER : null;
      DType type = run.dtype(dtype);
      Sightline.load();
      device.ensureAvailable();
      ActionStatistics scales = scales(base);
      PromptTokenizer tokens = base.tokenizer(run.tokenizer(tokenizer));
      try {
        return new Policy(
            model(base, type),
            tokens,
            base.config().actions(),
            scales,
            new ImageTransform(base.config().dino().imageSize(), seen));
      } catch (IOException | RuntimeException e) {
        tokens.close();
        throw e;
      }
    }

    private OpenVla model(BaseModel base, DType type) throws IOException {
      if (adapter == null) {
        return bare(base, LoraPlan.none(), type);
      }
      try (PeftAdapter read = PeftAdapter.read(adapter)) {
        OpenVla model = bare(base, LoraPlan.of(read), type);
        try {
          model.loadAdapters(read.adapters());
          model.train(false);
          return model;
        } catch (IllegalArgumentException e) {
          model.close();
          throw new IllegalArgumentException(
              "adapter: %s does not fit %s: %s".formatted(adapter, base.name(), e.getMessage()), e);
        }
      }
    }

    private OpenVla bare(BaseModel base, LoraPlan lora, DType type) throws IOException {
      try (HuggingFaceCheckpoint weights = base.open()) {
        return OpenVla.of(base.config(), weights, device, type, lora, 0); // Nothing is drawn.
      }
    }

    private ActionStatistics scales(BaseModel base) throws IOException {
      Path file = statistics;
      if (file == null && adapter != null) {
        Path besides = adapter.resolve("dataset_statistics.json");
        file = InputFile.exists(besides) ? besides : null;
      }
      if (file != null) {
        return StatisticsJson.read(file, unnormKey);
      }
      try (HuggingFaceCheckpoint checkpoint = base.open()) {
        var known = checkpoint.statistics();
        if (known.isEmpty()) {
          throw new IllegalArgumentException(
              "statistics must name a dataset_statistics.json, found none: neither adapter nor model"
                  + " has one");
        }
        if (unnormKey == null && known.size() == 1) {
          return known.values().iterator().next();
        }
        if (unnormKey == null || !known.containsKey(unnormKey)) {
          throw new IllegalArgumentException(
              "unnormKey must be one of %s, found %s".formatted(known.keySet(), unnormKey));
        }
        return known.get(unnormKey);
      }
    }
  }
}
