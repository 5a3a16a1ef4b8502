package org.sightline.vla.checkpoint;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.Finite;
import org.sightline.LoraLinear;
import org.sightline.binding.Scopes;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.AtomicFolder;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.peft.LoraPair;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.safetensors.ElementType;
import org.sightline.formats.safetensors.ShardedSafetensorsWriter;
import org.sightline.formats.safetensors.TensorInfo;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.model.LoraTarget;
import org.sightline.vla.model.ModelSpec;
import org.sightline.vla.model.ParameterSpec;

/**
 * Merges an adapter into its base model: W + s·BA in fp32, rounded once to the weight's own dtype,
 * for every adapted module; all else stays as it is, bit for bit.
 *
 * <p>The result is a folder as Hugging Face publishes models: the weights in shards, and beside
 * them whatever the base's folder had (configuration, tokenizer, preprocessor, code). Statistics of
 * the actions that lie in the adapter's folder take the place of the base's, in {@code
 * dataset_statistics.json} and among {@code norm_stats} of {@code config.json}. No more than one
 * tensor is in memory at a time.
 */
public final class CheckpointExport {
  private static final String STATISTICS = "dataset_statistics.json";

  private final HuggingFaceCheckpoint base;
  private final PeftAdapter adapter;
  private final Device device;
  private final Consumer<? super String> progress;
  private final Map<String, LoraTarget> targets = new LinkedHashMap<>();

  private CheckpointExport(
      HuggingFaceCheckpoint base,
      PeftAdapter adapter,
      Device device,
      Consumer<? super String> progress) {
    this.base = base;
    this.adapter = adapter;
    this.device = device;
    this.progress = progress;
    ModelSpec.of(base.config())
        .loraTargets()
        .forEach(target -> targets.put(target.module(), target));
  }

  /**
   * Writes the merged model.
   *
   * @param adapterFolder a PEFT folder, or null to write the base as it is
   * @param output must not exist, or be an empty folder; appears complete or not at all
   * @param maxShardBytes see {@link ShardedSafetensorsWriter#write}
   * @param device where products are computed
   * @param progress told the name of each tensor before it is read; what it throws ends the export,
   *     of which nothing is left then
   * @throws FormatException if a file is malformed, or naming every adapter that does not fit the
   *     base, or the tensor that is not finite, before or after the merge
   * @throws java.nio.file.FileAlreadyExistsException if something is at {@code output}
   */
  public static void write(
      HuggingFaceCheckpoint base,
      Path adapterFolder,
      Path output,
      long maxShardBytes,
      Device device,
      Consumer<? super String> progress)
      throws IOException {
    device.ensureAvailable();
    AtomicFolder.requireFree(output);
    if (adapterFolder == null) {
      new CheckpointExport(base, null, device, progress).write(null, output, maxShardBytes);
      return;
    }
    try (PeftAdapter adapter = PeftAdapter.read(adapterFolder)) {
      var export = new CheckpointExport(base, adapter, device, progress);
      export.requireFits(adapterFolder);
      Path statistics = adapterFolder.resolve(STATISTICS);
      if (InputFile.exists(statistics)) {
        StatisticsJson.readAll(statistics); // Of which the copy must be worth as much.
      }
      export.write(adapterFolder, output, maxShardBytes);
    }
  }

  private void requireFits(Path adapterFolder) throws FormatException {
    List<String> defects = new ArrayList<>();
    adapter
        .adapters()
        .forEach(
            (module, pair) -> {
              LoraTarget target = targets.get(module);
              if (target == null) {
                defects.add(module + ": no linear layer of that name");
                return;
              }
              List<ParameterSpec> expected =
                  target.parameters(adapter.config().loraOf(module).rank());
              if (!expected.get(0).shape().equals(shape(pair.a()))
                  || !expected.get(1).shape().equals(shape(pair.b()))) {
                defects.add(
                    "%s: found lora_A %s and lora_B %s, expected %s and %s"
                        .formatted(
                            module,
                            shape(pair.a()),
                            shape(pair.b()),
                            expected.get(0).shape(),
                            expected.get(1).shape()));
              }
            });
    if (!defects.isEmpty()) {
      throw new FormatException(
          adapterFolder,
          "adapters: %d of %d do not fit the base model %s:"
              .formatted(defects.size(), adapter.adapters().size(), base.tensors().path()),
          defects);
    }
  }

  private static List<Long> shape(Tensor tensor) {
    return java.util.Arrays.stream(tensor.shape()).boxed().toList();
  }

  private void write(Path adapterFolder, Path output, long maxShardBytes) throws IOException {
    List<TensorInfo> tensors =
        ModelSpec.of(base.config()).parameters().stream()
            .map(spec -> base.tensors().info(spec.name()))
            .toList();
    AtomicFolder.write(
        output,
        draft -> {
          ShardedSafetensorsWriter.write(
              draft, tensors, name -> merged(adapterFolder, name), maxShardBytes);
          copySideFiles(draft);
          writeStatistics(adapterFolder, draft);
        });
  }

  /** A tensor as it will be written, in the caller's scope. */
  private Tensor merged(Path adapterFolder, String name) throws IOException {
    progress.accept(name);
    Tensor stored = finite(base.tensors().path(), name, base.tensors().tensor(name));
    String module = name.endsWith(".weight") ? name.substring(0, name.length() - 7) : name;
    LoraPair pair = adapter == null ? null : adapter.adapters().get(module);
    if (pair == null) {
      return stored;
    }
    LoraTarget target = targets.get(module);
    // The kernel has no fp16: by way of fp32, which holds it exactly.
    boolean half = base.tensors().info(name).type() == ElementType.F16;
    Tensor weight = device.move(half ? stored.to(ScalarType.Float) : stored);
    try (LoraLinear linear =
        new LoraLinear(
            weight.view(target.outputs(), target.inputs()),
            null,
            adapter.config().loraOf(module),
            DType.FLOAT32,
            0)) {
      Scopes.withoutGradient(
          () -> {
            linear.loraA().copy_(pair.a().reshape(linear.loraA().shape()));
            return linear.loraB().copy_(pair.b().reshape(linear.loraB().shape()));
          });
      linear.merge(); // in place: the layer shares the weight's memory
    } catch (IllegalArgumentException e) {
      throw new FormatException(adapterFolder, name, e.getMessage());
    }
    return half ? finite(adapterFolder, name, weight.to(ScalarType.Half)) : weight;
  }

  private static Tensor finite(Path where, String name, Tensor tensor) throws FormatException {
    Optional<String> defect = Finite.defect(tensor);
    if (defect.isPresent()) {
      throw new FormatException(where, name, defect.get(), "finite values");
    }
    return tensor;
  }

  private void copySideFiles(Path draft) throws IOException {
    if (base.folder().isEmpty()) {
      boolean half =
          base.tensors().names().stream()
              .anyMatch(name -> base.tensors().info(name).type() == ElementType.BF16);
      HuggingFaceCheckpoint.writeConfigs(draft, base.config(), half ? "bfloat16" : "float32");
      return;
    }
    try (Stream<Path> files = Files.list(base.folder().get())) {
      for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
        if (!isWeights(file.getFileName().toString())) {
          Files.copy(file, draft.resolve(file.getFileName().toString()));
        }
      }
    }
  }

  /** Weights in any format, and what is hidden. */
  private static boolean isWeights(String name) {
    return name.startsWith(".")
        || name.endsWith(".index.json")
        || Stream.of(".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf")
            .anyMatch(name::endsWith);
  }

  private static void writeStatistics(Path adapterFolder, Path draft) throws IOException {
    Path statistics = adapterFolder == null ? null : adapterFolder.resolve(STATISTICS);
    if (statistics == null || !InputFile.exists(statistics)) {
      return;
    }
    AtomicFile.writeText(draft.resolve(STATISTICS), InputFile.text(statistics));
    JsonFields root = JsonFields.read(draft.resolve(HuggingFaceCheckpoint.CONFIG));
    JsonObject known = root.has("norm_stats") ? root.object("norm_stats").json() : new JsonObject();
    JsonFields.read(statistics).json().asMap().forEach(known::add);
    JsonObject config = root.json();
    config.add("norm_stats", known);
    HuggingFaceCheckpoint.writeConfig(draft, config);
  }
}
