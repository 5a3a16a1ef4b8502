package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.Sightline;
import org.sightline.formats.peft.LoraPair;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.rlds.DatasetScan;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.RldsKeys;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.Weights;
import org.sightline.vla.tabletop.TabletopGenerator;
import org.sightline.vla.teacher.TeacherConfig;
import org.sightline.vla.teacher.TeacherFile;

/** One value that is no number, in any file of weights: named, and nothing comes of it. */
class NonFiniteFilesTest {
  private static final OpenVlaConfig NANO = OpenVlaConfig.nano();
  private static final String FC3 = "projector.fc3";
  private static final String LORA_B = "base_model.model." + FC3 + ".lora_B.weight";

  /** Data, an image of it, and its statistics. */
  @TempDir private static Path shared;

  @TempDir private Path folder;
  private Path base;
  private Path adapter;

  @BeforeAll
  static void recordEpisodes() throws IOException {
    Path data = shared.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(2, 1, 64, 3));
    RldsDataset dataset = RldsDataset.open(data, "train", RldsKeys.BRIDGE);
    StatisticsJson.write(
        shared.resolve("dataset_statistics.json"),
        Map.of("tabletop", DatasetScan.of(dataset).statistics(new int[] {0, 1})));
    try (EpisodeReader reader = dataset.reader()) {
      Files.write(shared.resolve("image.png"), reader.read(0).steps().get(0).image());
    }
  }

  @BeforeEach
  void writeModel() throws IOException {
    Sightline.load();
    base = folder.resolve("base");
    adapter = folder.resolve("adapter");
    HuggingFaceCheckpoint.write(base, NANO, Weights.random(NANO, 7), DType.FLOAT32, 1L << 30);
    try (PointerScope scope = new PointerScope()) {
      var pair = new LoraPair(torch.ones(2, 192), torch.zeros(192, 2));
      new PeftAdapter(PeftConfig.of(LoraConfig.of(2, 2), List.of(FC3)), Map.of(FC3, pair))
          .write(adapter);
    }
    Files.copy(
        shared.resolve("dataset_statistics.json"), adapter.resolve("dataset_statistics.json"));
  }

  /** Sets the second element of a tensor; converts all tensors. */
  private static void poison(Path file, String name, double value, ScalarType type)
      throws IOException {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    Map<String, String> metadata;
    try (PointerScope scope = new PointerScope()) {
      try (Safetensors stored = Safetensors.open(file)) {
        metadata = Map.copyOf(stored.metadata());
        for (String each : stored.names()) {
          Tensor tensor = stored.tensor(each);
          if (each.equals(name)) {
            tensor.flatten().narrow(0, 1, 1).fill_(new Scalar(value));
          }
          tensors.put(each, tensor.to(type));
        }
      }
      assertTrue(tensors.containsKey(name), name);
      Safetensors.write(file, tensors, metadata);
    }
  }

  private void refuse(String command, String... said) {
    Path out = folder.resolve("out");
    String arguments =
        switch (command) {
          case "act" ->
              "act --adapter %s --weights %s --instruction go --image "
                  + shared.resolve("image.png");
          case "eval" -> "eval --adapter %s --weights %s --data " + shared.resolve("data");
          case "export" -> "export --adapter %s --weights %s --output " + out;
          default -> throw new AssertionError(command);
        };
    refuseAll(out, arguments.formatted(adapter, base), said);
  }

  private static void refuseAll(Path out, String arguments, String... said) {
    Cli cli = Cli.run(arguments);
    assertEquals(2, cli.exitCode(), arguments + "\n" + cli.out() + cli.err());
    for (String text : said) {
      assertTrue(cli.err().contains(text), text + "\n" + cli.err());
    }
    assertEquals("", cli.out());
    assertFalse(Files.exists(out));
  }

  @ParameterizedTest
  @CsvSource({"act, NaN", "eval, NaN", "export, NaN", "act, -Infinity", "export, Infinity"})
  void anAdapter(String command, double value) throws IOException {
    poison(adapter.resolve("adapter_model.safetensors"), LORA_B, value, ScalarType.Float);
    refuse(command, adapter.toString(), FC3 + ".lora_B.weight", value + " at [0, 1]");
  }

  @ParameterizedTest
  @ValueSource(strings = {"act", "eval", "export"})
  void aBaseModel(String command) throws IOException {
    String name = "language_model.model.layers.0.mlp.up_proj.weight";
    poison(base.resolve("model.safetensors"), name, Double.NaN, ScalarType.Float);
    refuse(command, base.toString(), name, "NaN at [0, 1]");
  }

  /** Nothing of a run is there, and what an earlier one left still is. */
  @Test
  void whatTrainingStartsFrom() throws IOException {
    Path out = folder.resolve("out");
    String data = "finetune --data %s --output %s ".formatted(shared.resolve("data"), out);
    Path teacher = folder.resolve("teacher.safetensors");
    TeacherFile.writeRandom(teacher, TeacherConfig.nano("random"), 7);
    poison(teacher, "blocks.1.mlp.fc1.bias", Double.NaN, ScalarType.Float);
    refuseAll(out, data + "--teacher " + teacher, teacher + ": \"blocks.1.mlp.fc1.bias\"");
    poison(base.resolve("model.safetensors"), FC3 + ".bias", Double.NaN, ScalarType.Float);
    refuseAll(out, data + "--weights " + base, FC3 + ".bias", "NaN at [1]");
    Files.createDirectory(out);
    Path kept = Files.writeString(out.resolve("run.json"), "{}");
    assertEquals(2, Cli.run(data + "--overwrite --weights " + base).exitCode());
    assertEquals("{}", Files.readString(kept));
  }

  /** Finite in the file, not in the dtype that was asked for. */
  @Test
  void aWeightBeyondTheRangeOfTheDtype() throws IOException {
    String name = FC3 + ".weight";
    poison(base.resolve("model.safetensors"), name, 3.402e38, ScalarType.Float);
    Cli cli =
        Cli.run(
            "eval --dtype bfloat16 --adapter %s --weights %s --data %s"
                .formatted(adapter, base, shared.resolve("data")));
    assertEquals(2, cli.exitCode());
    assertTrue(cli.err().contains(name + "\" must be finite, found Infinity at [0, 1]"), cli.err());
  }

  /** W and s·BA are finite, their sum is not. */
  @ParameterizedTest
  @CsvSource({"Float, 3.4e38, 1e38", "BFloat16, 3.38e38, 1e38", "Half, 65000, 1000"})
  void aMergeBeyondTheRangeOfTheDtype(ScalarType type, double weight, double delta)
      throws IOException {
    poison(base.resolve("model.safetensors"), FC3 + ".weight", weight, type);
    poison(adapter.resolve("adapter_model.safetensors"), LORA_B, delta, ScalarType.Float);
    refuse("export", adapter.toString(), FC3 + ".weight", "Infinity at [0, 1]");
  }

  @ParameterizedTest
  @ValueSource(strings = {"act", "eval"})
  void logitsOfFiniteWeights(String command) throws IOException {
    poison(adapter.resolve("adapter_model.safetensors"), LORA_B, 3e38, ScalarType.Float);
    refuse(command, "the model's logits must be finite, found NaN at [0, 0]");
  }
}
