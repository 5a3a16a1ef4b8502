package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.google.gson.Gson;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.Sightline;
import org.sightline.formats.peft.LoraPair;
import org.sightline.formats.peft.ModuleFilter;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;
import org.sightline.formats.peft.PeftTargets;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.formats.tfrecord.EventFileWriter;
import org.sightline.vla.Fixtures;
import org.sightline.vla.checkpoint.CheckpointExport;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.loader.VlaBatch;

/**
 * What this library writes, read by the Python libraries it is written for: {@code
 * src/test/python/read_java_files.py}, which says what a pass proves. The other direction needs no
 * Python, since its files are committed ({@link OpenVlaParityTest}).
 *
 * <p>{@code -Dsightline.python=COMMAND} names a Python that has them; skipped without one.
 */
class PythonReadsOurFilesTest {
  private static final int NO_LIBRARIES = 77;
  private static final Path SCRIPTS = Path.of("src/test/python").toAbsolutePath();
  private static final long SHARD_BYTES = 30_000;

  @TempDir private Path folder;

  @BeforeEach
  void load() {
    Sightline.load();
  }

  @Test
  void everyFileMeansTheSameInPython() throws Exception {
    writeTensors();
    writeEvents();
    writeModels();
    List<String> command =
        new ArrayList<>(List.of(System.getProperty("sightline.python", "python3").split("[ ,]")));
    command.add(SCRIPTS.resolve("read_java_files.py").toString());
    command.add(folder.toString());
    Path log = folder.resolve("log");
    Process python;
    try {
      python =
          new ProcessBuilder(command)
              .redirectErrorStream(true)
              .redirectOutput(log.toFile())
              .start();
    } catch (IOException e) {
      assumeTrue(false, "-Dsightline.python names no Python: " + e.getMessage());
      return;
    }
    int exit = python.waitFor();
    String said = Files.readString(log, StandardCharsets.UTF_8);
    assumeFalse(
        exit == NO_LIBRARIES, "-Dsightline.python names a Python without the libraries: " + said);
    assertEquals(0, exit, said);
    System.out.println(said.strip());
  }

  /** 0, 1, 2, … in every type and several shapes. */
  private void writeTensors() throws IOException {
    Map<String, ScalarType> types = new LinkedHashMap<>();
    types.put("bool", ScalarType.Bool);
    types.put("uint8", ScalarType.Byte);
    types.put("int8", ScalarType.Char);
    types.put("float16", ScalarType.Half);
    types.put("bfloat16", ScalarType.BFloat16);
    types.put("int16", ScalarType.Short);
    types.put("int32", ScalarType.Int);
    types.put("int64", ScalarType.Long);
    types.put("float32", ScalarType.Float);
    types.put("float64", ScalarType.Double);
    Map<String, String> metadata = Map.of("format", "pt", "größe", "\"2\"\n\\ 漢字 🙂");
    Map<String, Tensor> tensors = new TreeMap<>();
    Map<String, Object> described = new TreeMap<>();
    try (PointerScope scope = new PointerScope()) {
      types.forEach(
          (name, type) -> {
            for (long[] shape : new long[][] {{}, {0}, {7}, {3, 5}, {1, 2, 3, 2}}) {
              Tensor values = torch.ones(shape).flatten().cumsum(0).sub(torch.ones(1)).view(shape);
              Tensor tensor =
                  type == ScalarType.Bool
                      ? values.remainder(new Scalar(2f)).to(type)
                      : values.to(type);
              String key = name + " of " + Arrays.toString(shape) + " é";
              // Not contiguous where that can be.
              tensors.put(key, shape.length == 2 ? tensor.t().contiguous().t() : tensor);
              described.put(key, List.of(name, shape));
            }
          });
      Safetensors.write(folder.resolve("tensors.safetensors"), tensors, metadata);
    }
    write("tensors.json", Map.of("metadata", metadata, "tensors", described));
  }

  private void writeEvents() throws IOException {
    Path events = Files.createDirectories(folder.resolve("events"));
    Map<String, List<List<Double>>> expected = new LinkedHashMap<>();
    try (EventFileWriter writer =
        new EventFileWriter(events.resolve("events.out.tfevents.0.sightline"), 0)) {
      for (long step : new long[] {0, 1, 300, 1L << 40}) {
        Map<String, Double> values = new LinkedHashMap<>();
        values.put("train/action_loss", 0.5 / (step + 1));
        values.put("train/größe", -1e20 * step);
        writer.scalars(step, values);
        values.forEach(
            (tag, value) ->
                expected
                    .computeIfAbsent(tag, key -> new ArrayList<>())
                    .add(List.of((double) step, (double) value.floatValue())));
      }
    }
    write("events/events.json", expected);
  }

  private Map<String, PeftConfig> configs() {
    var plain = new LoraConfig(3, 6, 0, false, LoraInit.GAUSSIAN);
    var stabilised = new LoraConfig(2, 3, 0.1, true, LoraInit.KAIMING_UNIFORM);
    PeftTargets some = PeftTargets.of(List.of("q_proj", "attn.proj", "projector.fc2", "lm_head"));
    Map<String, PeftConfig> configs = new LinkedHashMap<>();
    configs.put(
        "every-layer",
        PeftConfig.of(
            plain,
            ModelSpec.of(TinyModels.config()).loraTargets().stream()
                .map(LoraTarget::module)
                .toList()));
    configs.put(
        "patterns",
        new PeftConfig(
            stabilised,
            some.without(new ModuleFilter.Names(List.of("blocks.1.attn.proj"))),
            Map.of("q_proj", 4, "blocks\\.\\d\\.attn\\.proj", 5),
            Map.of("lm_head", 0.5, "layers.1.self_attn.q_proj", 7.0),
            null,
            null));
    configs.put("bf16", new PeftConfig(plain, some, Map.of(), Map.of(), "some/base", null));
    configs.put(
        "expression",
        new PeftConfig(
            plain,
            new PeftTargets(
                new ModuleFilter.Regex(".*\\.layers\\.[02]\\..*_proj"),
                new ModuleFilter.Regex(".*gate_proj"),
                List.of(),
                List.of()),
            Map.of(),
            Map.of(),
            null,
            null));
    configs.put(
        "layers",
        new PeftConfig(
            plain,
            new PeftTargets(
                new ModuleFilter.Names(List.of("fc1", "down_proj", "projector.fc3")),
                null,
                List.of(0, 1),
                List.of("layers", "blocks")),
            Map.of(),
            Map.of(),
            null,
            null));
    return configs;
  }

  private void writeModels() throws IOException {
    Path fixture = Fixtures.root().resolve("openvla/plain");
    try (PointerScope scope = new PointerScope();
        Safetensors inputs = Safetensors.open(fixture.resolve("expected.safetensors"));
        HuggingFaceCheckpoint base = HuggingFaceCheckpoint.open(fixture)) {
      VlaBatch batch =
          new VlaBatch(
              inputs.tensor("pixel_values"),
              inputs.tensor("input_ids"),
              inputs.tensor("attention_mask"),
              inputs.tensor("labels"),
              torch.zeros(2, 7));
      CheckpointExport.write(
          base, null, folder.resolve("model"), SHARD_BYTES, Device.CPU, tensor -> {});
      try (OpenVla model = OpenVla.of(base.config(), base, DType.FLOAT32, LoraPlan.none(), 0)) {
        Map<String, Tensor> named = new LinkedHashMap<>();
        named.put("pixel_values", batch.pixelValues());
        named.put("input_ids", batch.inputIds());
        named.put("attention_mask", batch.attentionMask());
        named.put("labels", batch.labels());
        named.put("logits", model.logits(batch));
        Safetensors.write(folder.resolve("inputs.safetensors"), named, Map.of());
      }
      for (Map.Entry<String, PeftConfig> config : configs().entrySet()) {
        writeAdapter(base, batch, config.getKey(), config.getValue());
      }
    }
  }

  private void writeAdapter(
      HuggingFaceCheckpoint base, VlaBatch batch, String name, PeftConfig config)
      throws IOException {
    Path target = folder.resolve("adapters").resolve(name);
    try (OpenVla model =
        OpenVla.of(base.config(), base, DType.FLOAT32, LoraPlan.of(config), name.hashCode())) {
      TinyModels.shakeAdapters(model, 3);
      model.train(false);
      Map<String, LoraPair> pairs = new LinkedHashMap<>(model.adapters());
      if (name.equals("bf16")) {
        pairs.replaceAll((module, pair) -> new LoraPair(half(pair.a()), half(pair.b())));
        model.loadAdapters(pairs);
      }
      new PeftAdapter(config, pairs).write(target);
      Safetensors.write(
          target.resolve("expected.safetensors"), Map.of("logits", model.logits(batch)), Map.of());
      Map<String, Object> settings = new TreeMap<>();
      pairs
          .keySet()
          .forEach(
              module -> {
                LoraConfig lora = config.loraOf(module);
                settings.put(module, List.of(lora.rank(), lora.scale()));
              });
      write("adapters/" + name + "/expected.json", settings);
    }
    CheckpointExport.write(
        base,
        target,
        folder.resolve("merged").resolve(name),
        SHARD_BYTES,
        Device.CPU,
        tensor -> {});
  }

  private static Tensor half(Tensor tensor) {
    return tensor.to(ScalarType.BFloat16);
  }

  private void write(String name, Object json) throws IOException {
    Files.writeString(folder.resolve(name), new Gson().toJson(json));
  }
}
