package org.sightline.vla.checkpoint;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.sightline.DType;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.AtomicFolder;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.safetensors.ElementType;
import org.sightline.formats.safetensors.ShardedSafetensors;
import org.sightline.formats.safetensors.ShardedSafetensorsWriter;
import org.sightline.formats.safetensors.TensorInfo;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.data.text.PromptTokenizer;
import org.sightline.vla.model.ModelSpec;
import org.sightline.vla.model.Modules;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.Weights;

/**
 * A base model as Hugging Face publishes OpenVLA:
 *
 * <pre>
 * config.json                       shape of the model, norm_stats
 * model.safetensors                 or model.safetensors.index.json and its shards
 * tokenizer.json                    for prompts
 * preprocessor_config.json          how images enter; checked if it is there
 * dataset_statistics.json           of a fine-tuned model, in place of norm_stats
 * </pre>
 *
 * <p>Opening reads configuration and headers, and accounts for every tensor. A tensor is read when
 * a model asks for it, straight into the memory the model keeps: in the dtype of the file there is
 * no second copy, so that a model needs no more memory than its tensors, and bf16 is never widened.
 */
public final class HuggingFaceCheckpoint implements Weights, AutoCloseable {
  static final String CONFIG = "config.json";

  private final OpenVlaConfig config;
  private final ShardedSafetensors tensors;
  private final SafetensorsWeights weights;
  private final Path folder; // or null

  private HuggingFaceCheckpoint(OpenVlaConfig config, ShardedSafetensors tensors, Path folder) {
    this.config = config;
    this.tensors = tensors;
    this.weights = new SafetensorsWeights(tensors);
    this.folder = folder;
  }

  /**
   * Opens a folder.
   *
   * @throws FormatException if a file is malformed or asks for what {@link OpenVla} does not do, or
   *     naming every tensor that is missing, unexpected, of the wrong shape or dtype
   * @throws IOException if a file is missing or cannot be read
   */
  public static HuggingFaceCheckpoint open(Path folder) throws IOException {
    if (!Files.isDirectory(folder)) {
      throw InputFile.exists(folder)
          ? new IOException(folder + ": found a file, expected a folder with " + CONFIG)
          : new NoSuchFileException(folder.toString());
    }
    if (!InputFile.exists(folder.resolve(CONFIG))) {
      throw new IOException(folder + ": found no " + CONFIG + ", expected one beside the weights");
    }
    OpenVlaConfig config = OpenVlaConfigJson.read(folder.resolve(CONFIG));
    Path preprocessor = folder.resolve(PreprocessorJson.NAME);
    if (InputFile.exists(preprocessor)) {
      PreprocessorJson.require(preprocessor, config.dino().imageSize());
    }
    return accounted(config, ShardedSafetensors.open(folder), folder);
  }

  /**
   * Opens safetensors files without a configuration.
   *
   * @param config the shape they must have
   * @throws FormatException as {@link #open(Path)}
   */
  public static HuggingFaceCheckpoint open(List<Path> files, OpenVlaConfig config)
      throws IOException {
    return accounted(config, ShardedSafetensors.open(files), null);
  }

  private static HuggingFaceCheckpoint accounted(
      OpenVlaConfig config, ShardedSafetensors tensors, Path folder) throws IOException {
    try {
      TensorAccount.require(config, tensors);
      return new HuggingFaceCheckpoint(config, tensors, folder);
    } catch (IOException | RuntimeException e) {
      tensors.close();
      throw e;
    }
  }

  public OpenVlaConfig config() {
    return config;
  }

  /** The files' tensors. */
  public ShardedSafetensors tensors() {
    return tensors;
  }

  /** The folder this was opened from, unless it was bare files. */
  public Optional<Path> folder() {
    return Optional.ofNullable(folder);
  }

  /** The folder's {@code tokenizer.json}, if there is one. */
  public Optional<Path> tokenizer() {
    return file("tokenizer.json");
  }

  private Optional<Path> file(String name) {
    return folder().map(f -> f.resolve(name)).filter(Files::exists);
  }

  /**
   * Statistics of the actions the model was trained on, by dataset: those of {@code
   * dataset_statistics.json}, else {@code norm_stats} of {@code config.json}; empty without either.
   */
  public Map<String, ActionStatistics> statistics() throws IOException {
    Optional<Path> own = file("dataset_statistics.json");
    if (own.isPresent()) {
      return StatisticsJson.readAll(own.get());
    }
    Optional<Path> file = file(CONFIG);
    return file.isPresent() && JsonFields.read(file.get()).has("norm_stats")
        ? StatisticsJson.readAll(file.get())
        : Map.of();
  }

  /**
   * Passes if a tokenizer's ids are those the model was trained with, as far as its configuration
   * tells: BOS, padding, and no id beyond the vocabulary's used part and the padding id.
   *
   * @param source the tokenizer's file, for the error
   * @throws FormatException naming what differs
   */
  public void requireTokenizer(PromptTokenizer tokenizer, Path source) throws IOException {
    requireId(source, "BOS", tokenizer.bosId(), config.bosToken());
    if (folder != null) {
      JsonFields root = JsonFields.read(folder.resolve(CONFIG));
      if (root.has("pad_token_id")) {
        requireId(source, "padding", tokenizer.padId(), root.integer("pad_token_id"));
      }
    }
    int rows = config.text().vocabularySize();
    if (tokenizer.vocabularySize() > rows) {
      throw new FormatException(
          source,
          "vocabulary",
          tokenizer.vocabularySize() + " ids",
          "at most " + rows + ", the rows of the model's embedding: is it another model's?");
    }
  }

  private static void requireId(Path source, String role, long found, long expected)
      throws FormatException {
    if (found != expected) {
      throw new FormatException(
          source,
          "the id of " + role,
          Long.toString(found),
          expected + " as the model was trained with: is it another model's tokenizer?");
    }
  }

  @Override
  public Tensor get(ParameterSpec parameter) {
    return weights.get(parameter);
  }

  @Override
  public String describe(ParameterSpec parameter) {
    return weights.describe(parameter);
  }

  @Override
  public boolean handsOver() {
    return weights.handsOver();
  }

  /**
   * Writes a model as such a folder, without tokenizer and statistics.
   *
   * @param folder must not exist, or be empty; appears complete or not at all
   * @param weights asked once for each parameter, those the forward pass never uses included
   * @param maxShardBytes see {@link ShardedSafetensorsWriter#write}
   */
  public static void write(
      Path folder, OpenVlaConfig config, Weights weights, DType dtype, long maxShardBytes)
      throws IOException {
    ElementType type = dtype == DType.BFLOAT16 ? ElementType.BF16 : ElementType.F32;
    Map<String, ParameterSpec> specs = new LinkedHashMap<>();
    ModelSpec.of(config).parameters().forEach(spec -> specs.put(spec.name(), spec));
    List<TensorInfo> infos =
        specs.values().stream()
            .map(spec -> new TensorInfo(spec.name(), type, spec.shape(), 0, 0))
            .toList();
    AtomicFolder.write(
        folder,
        draft -> {
          ShardedSafetensorsWriter.write(
              draft,
              infos,
              name -> weights.get(specs.get(name)).to(Modules.scalarType(dtype)),
              maxShardBytes);
          writeConfigs(draft, config, dtype.name().toLowerCase(Locale.ROOT));
        });
  }

  /**
   * Writes the configuration of a model that has none.
   *
   * @param dtype Hugging Face's name of the weights' type, {@code bfloat16}
   */
  static void writeConfigs(Path folder, OpenVlaConfig config, String dtype) throws IOException {
    writeConfig(folder, OpenVlaConfigJson.toJson(config, dtype));
    AtomicFile.writeText(
        folder.resolve(PreprocessorJson.NAME), PreprocessorJson.of(config.dino().imageSize()));
  }

  static void writeConfig(Path folder, JsonObject config) throws IOException {
    String text =
        new GsonBuilder()
            .serializeNulls()
            .serializeSpecialFloatingPointValues() // As Python wrote them.
            .setPrettyPrinting()
            .disableHtmlEscaping()
            .create()
            .toJson(config);
    AtomicFile.writeText(folder.resolve(CONFIG), text + "\n");
  }

  @Override
  public void close() throws IOException {
    tensors.close();
  }
}
