package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.AlignmentProjector;
import org.sightline.DType;
import org.sightline.LoraConfig;
import org.sightline.ProjectorConfig;
import org.sightline.formats.peft.LoraPair;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.train.ProjectorFile;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.SharedData;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.Weights;

/**
 * {@code inspect} and {@code export}, and what users read when a checkpoint, adapter or tokenizer
 * cannot be used: message and exit code.
 */
class CheckpointCommandsTest {
  private static final OpenVlaConfig NANO = OpenVlaConfig.nano();
  private static final String HEAD = "language_model.lm_head";

  /** A nano model in bf16 and shards of 3 MB; never written to. */
  @TempDir private static Path shared;

  @TempDir private Path folder;

  @BeforeAll
  static void write() throws IOException {
    HuggingFaceCheckpoint.write(
        shared.resolve("base"), NANO, Weights.random(NANO, 7), DType.BFLOAT16, 3_000_000);
    Map<String, LoraPair> pairs = new LinkedHashMap<>();
    pairs.put(HEAD, new LoraPair(torch.randn(4, 192), torch.randn(1088, 4)));
    pairs.put("projector.fc3", new LoraPair(torch.randn(4, 192), torch.randn(192, 4)));
    new PeftAdapter(
            PeftConfig.of(LoraConfig.of(4, 8), pairs.keySet())
                .withBaseModel(shared.resolve("base").toString()),
            pairs)
        .write(shared.resolve("adapter"));
  }

  /** The base again, as a folder this test may spoil. */
  private Path base() throws IOException {
    Path copy = Files.createDirectory(folder.resolve("base"));
    try (var files = Files.list(shared.resolve("base"))) {
      for (Path file : files.toList()) {
        Files.copy(file, copy.resolve(file.getFileName()));
      }
    }
    return copy;
  }

  @Test
  void inspectTellsWhatACheckpointHolds() {
    Cli cli = Cli.succeed("inspect " + shared.resolve("base"));
    assertLine(cli, "kind          checkpoint");
    assertLine(cli, "tensors       174");
    assertLine(cli, "parameters    4,071,016");
    assertLine(cli, "bytes         8.14 MB");
    assertLine(cli, "dtypes        BF16: 174");
    assertTrue(cli.out().contains("model-00001-of-00003.safetensors"), cli.out());
    assertLine(cli, "model         shape: nano");
    assertLine(cli, "              action_tokens: 768..1023");
    assertTrue(
        cli.out()
            .lines()
            .anyMatch(
                line ->
                    line.matches(
                        "language_model.lm_head.weight +BF16 +\\[1088, 192\\] +418 kB"
                            + " +model-0000.*")),
        cli.out());
  }

  @Test
  void inspectWritesJsonForMachines() throws IOException {
    JsonObject json = Cli.run("inspect --json " + shared.resolve("base")).json();
    assertEquals(4_071_016, json.get("parameters").getAsLong());
    assertEquals(8_142_032, json.get("bytes").getAsLong());
    assertEquals(174, json.getAsJsonArray("tensor_list").size());
    assertEquals(3, json.getAsJsonArray("files").size());
    JsonObject first = json.getAsJsonArray("tensor_list").get(0).getAsJsonObject();
    assertEquals(List.of("name", "dtype", "shape", "bytes", "file"), List.copyOf(first.keySet()));

    Path file = folder.resolve("x.safetensors");
    Safetensors.write(file, Map.of("a", torch.zeros(2, 3)), Map.of("who", "me"));
    json = Cli.run("inspect --json " + file).json();
    assertEquals("me", json.getAsJsonObject("metadata").get("who").getAsString());
    assertFalse(json.has("model"));
  }

  @Test
  void inspectTellsWhyAModelCannotBeUsedAndShowsItAllTheSame() throws IOException {
    Path base = base();
    Path config = base.resolve("config.json");
    Files.writeString(
        config,
        Files.readString(config)
            .replace("\"silu\"", "\"x\"")
            .replace("\"model_type\": \"openvla\"", "\"model_type\": \"llava\""));
    Cli cli = Cli.succeed("inspect " + base);
    assertTrue(cli.out().contains("model_type: found \"llava\", expected openvla"), cli.out());
    assertLine(cli, "tensors       174");
  }

  @Test
  void inspectTellsWhatAnAdapterHolds() {
    Cli cli = Cli.succeed("inspect " + shared.resolve("adapter"));
    assertLine(cli, "kind          adapter");
    assertLine(cli, "rank          4");
    assertLine(cli, "targets       [fc3, lm_head]");
    assertLine(cli, "parameters    6,656");
    assertTrue(
        cli.out()
            .lines()
            .anyMatch(
                line ->
                    line.matches(
                        "language_model.lm_head +4 +2.0 +\\[4, 192\\] +\\[1088, 4\\] +F32")),
        cli.out());
  }

  @Test
  void inspectTellsWhatADatasetHolds() {
    Path data = SharedData.bridge();
    Cli cli = Cli.succeed("inspect " + data);
    assertLine(cli, "kind          dataset");
    assertLine(cli, "name          bridge_dataset");
    assertLine(
        cli, "splits        split train, shards 1, episodes 25, bytes 3.48 MB, shards_missing 0");
    // The folder has but the first split of the dataset it was taken from.
    assertTrue(cli.out().contains("split val, shards 1, "), cli.out());
    assertTrue(cli.out().contains("bytes 0 B, shards_missing 1"), cli.out());
    assertTrue(cli.out().contains("tensor of float32 [7]"), cli.out());
    JsonObject json = Cli.run("inspect --json " + data).json();
    assertEquals(
        25, json.getAsJsonArray("splits").get(0).getAsJsonObject().get("episodes").getAsLong());
  }

  @Test
  void exportMergesTheAdapterIntoTheModelItNames() throws IOException {
    Path output = folder.resolve("merged");
    Cli cli =
        Cli.succeed(
            "export --adapter %s --output %s --max-shard-size 2.5MB"
                .formatted(shared.resolve("adapter"), output));
    assertEquals(output + ": 174 tensors, 8.14 MB in 4 files", cli.out().strip());
    JsonObject shown =
        Cli.run("export --json --weights %s --output %s".formatted(output, folder.resolve("again")))
            .json();
    JsonObject inspected = Cli.run("inspect --json " + folder.resolve("again")).json();
    for (String fact : List.of("path", "files", "tensors", "bytes")) {
      assertEquals(inspected.get(fact), shown.get(fact), fact);
    }
    try (PointerScope scope = new PointerScope();
        HuggingFaceCheckpoint base = HuggingFaceCheckpoint.open(shared.resolve("base"));
        HuggingFaceCheckpoint merged = HuggingFaceCheckpoint.open(output);
        PeftAdapter adapter = PeftAdapter.read(shared.resolve("adapter"))) {
      LoraPair pair = adapter.adapters().get(HEAD);
      Tensor expected =
          base.tensors()
              .tensor(HEAD + ".weight")
              .to(ScalarType.Float)
              .add(pair.b().matmul(pair.a()).mul(new org.bytedeco.pytorch.Scalar(2.0)));
      Tensor found = merged.tensors().tensor(HEAD + ".weight").to(ScalarType.Float);
      // One rounding to bf16, half a unit in the last place: 2⁻⁸ relative.
      double error = found.sub(expected).abs().max().item_double();
      assertTrue(error <= expected.abs().max().item_double() / 256, "error " + error);
      String other = "projector.fc1.weight";
      assertTrue(base.tensors().tensor(other).equal(merged.tensors().tensor(other)));
    }
    Cli again =
        Cli.run("export --adapter %s --output %s".formatted(shared.resolve("adapter"), output));
    assertEquals(2, again.exitCode());
    assertTrue(again.err().contains(output + ": exists already"), again.err());
  }

  @Test
  void fineTuningStartsFromAFolderAndItsExportIsAModel() throws IOException {
    Path run = folder.resolve("run");
    Cli cli =
        Cli.succeed(
            "finetune --weights %s --output %s --modes freeze --steps 2 --evaluations 1 --rank 4"
                .formatted(shared.resolve("base"), run));
    try (PeftAdapter adapter = PeftAdapter.read(run.resolve("freeze"))) {
      assertEquals(shared.resolve("base").toString(), adapter.config().baseModel());
      int frozen = 0;
      for (Map.Entry<String, LoraPair> entry : adapter.adapters().entrySet()) {
        boolean changed = entry.getValue().b().abs().sum().item_double() > 0;
        boolean vision = entry.getKey().startsWith("vision_backbone.");
        assertEquals(!vision, changed, entry.getKey());
        frozen += vision ? 1 : 0;
      }
      assertTrue(frozen > 30, frozen + " vision modules");
    }
    Path output = folder.resolve("merged");
    cli = Cli.succeed("export --adapter %s --output %s".formatted(run.resolve("freeze"), output));
    try (HuggingFaceCheckpoint merged = HuggingFaceCheckpoint.open(output)) {
      assertEquals(1, merged.statistics().size());
    }
  }

  /**
   * Frozen projectors keep their first values, trained ones of all layers do not; both are saved.
   */
  @Test
  void projectorsOfAllLayersAreTrainedOnRequestAndSaved() throws IOException {
    for (boolean train : new boolean[] {false, true}) {
      Path run = folder.resolve("train-" + train);
      Cli cli =
          Cli.succeed(
              "finetune --output %s --modes align --layers 1,3 --steps 1 --evaluations 1%s"
                  .formatted(run, train ? " --train-projector" : ""));
      Path file = run.resolve("align/alignment_projector.safetensors");
      Map<Integer, AlignmentProjector> saved = ProjectorFile.read(file, DType.FLOAT32);
      assertEquals(Set.of(1, 3), saved.keySet());
      saved.forEach(
          (layer, projector) -> {
            ProjectorConfig fresh =
                new ProjectorConfig(192, 256, 128, false, 0, DType.FLOAT32, 7 + layer);
            try (AlignmentProjector first = new AlignmentProjector(fresh)) {
              first
                  .parameters()
                  .forEach(
                      (name, tensor) ->
                          assertEquals(
                              !train, tensor.equal(projector.parameters().get(name)), name));
            }
            projector.close();
          });
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "inspect                                 | Missing required parameter: 'PATH'",
        "inspect OUT/none                        | PATH: no such file or folder: OUT/none",
        "inspect OUT                             | OUT: found no adapter_config.json, dataset_info",
        "export --adapter OUT/none --output OUT/x | --adapter: no such file or folder: OUT/none",
        "export --output OUT/x                   | --weights must name the base model",
        "export --output OUT/x --weights OUT/no  | --weights: no such file or folder: OUT/no",
        "export --output OUT/x --weights BASE --max-shard-size 5XB | found \"5XB\", expected a"
            + " number of bytes",
        "export --output OUT/x --weights BASE --max-shard-size 0 | --max-shard-size must be at"
            + " least 1 byte",
        "export --output OUT/x --weights BASE --preset openvla-7b | --preset must be left out or of"
            + " the shape that",
        "export --output OUT/x --weights BASE --device cuda:99 | --device must be one that works here",
        "finetune --output OUT/x --weights OUT   | OUT: found neither model.safetensors nor",
      })
  void unusableInputIsExitCode2(String arguments, String expected) {
    requireRefused(
        arguments
            .strip()
            .replace("OUT", folder.toString())
            .replace("BASE", shared.resolve("base").toString()),
        expected.replace("OUT", folder.toString()));
  }

  @Test
  void aTruncatedShardIsNamed() throws IOException {
    Path base = base();
    Path shard = base.resolve("model-00002-of-00003.safetensors");
    byte[] bytes = Files.readAllBytes(shard);
    Files.write(shard, Arrays.copyOf(bytes, bytes.length / 2));
    String expected = "model-00002-of-00003.safetensors: ";
    for (String command :
        List.of("inspect " + base, finetune(base), "export --output %s/x --weights %s")) {
      Cli cli = requireRefused(command.formatted(folder, base), expected);
      assertTrue(cli.err().contains("data_offsets") || cli.err().contains("data:"), cli.err());
    }
    Files.delete(shard);
    requireRefused(
        finetune(base), "model-00002-of-00003.safetensors: no such file; the index puts ");
  }

  @Test
  void tensorsThatDoNotFitAreNamed() throws IOException {
    Path file = folder.resolve("model.safetensors");
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    try (PointerScope scope = new PointerScope();
        HuggingFaceCheckpoint base = HuggingFaceCheckpoint.open(shared.resolve("base"))) {
      for (String name : base.tensors().names()) {
        tensors.put(name, base.tensors().tensor(name));
      }
      tensors.put("projector.fc1.bias", torch.zeros(896).to(ScalarType.Char));
      tensors.remove("projector.fc2.bias");
      Safetensors.write(file, tensors, Map.of());
    }
    Cli cli = requireRefused(finetune(file), "projector.fc1.bias: found I8, expected one of [");
    assertTrue(cli.err().contains("missing (1):"), cli.err());
    assertTrue(cli.err().contains("projector.fc2.bias [192]"), cli.err());
    requireRefused(
        "finetune --preset openvla-7b --output %s/x --weights %s".formatted(folder, file),
        "do not fit openvla-7b");
  }

  @Test
  void anotherModelsTokenizerIsRefused() throws IOException {
    Path base = base();
    Path config = base.resolve("config.json");
    JsonObject json = JsonParser.parseString(Files.readString(config)).getAsJsonObject();
    json.addProperty("pad_token_id", 1024);
    Files.writeString(config, json.toString());
    requireRefused(finetune(base), "built-in tokenizer: the id of padding: found ");
    Files.writeString(base.resolve("tokenizer.json"), "{\"model\": {}}");
    requireRefused(
        finetune(base), base.resolve("tokenizer.json") + ": model.type: found no such key");
  }

  @Test
  void aMismatchedAdapterIsRefused() throws IOException {
    Path adapter = folder.resolve("adapter");
    LoraPair pair = new LoraPair(torch.zeros(4, 100), torch.zeros(192, 4));
    new PeftAdapter(
            PeftConfig.of(LoraConfig.of(4, 8), List.of("projector.fc3")),
            Map.of("projector.fc3", pair))
        .write(adapter);
    String command =
        "export --output %s/x --weights %s --adapter %s"
            .formatted(folder, shared.resolve("base"), adapter);
    requireRefused(command, "projector.fc3: found lora_A [4, 100]");
    Path config = adapter.resolve("adapter_config.json");
    Files.writeString(
        config, Files.readString(config).replace("\"use_dora\": false", "\"use_dora\": true"));
    requireRefused(command, "use_dora: found true, expected null, false or empty: not supported");
    assertFalse(Files.exists(folder.resolve("x")));
  }

  private String finetune(Path weights) {
    return "finetune --output %s/x --weights %s --steps 1".formatted(folder, weights);
  }

  private static Cli requireRefused(String arguments, String expected) {
    Cli cli = Cli.run(arguments);
    assertEquals(2, cli.exitCode(), cli.err());
    assertTrue(cli.err().contains(expected), cli.err());
    assertFalse(cli.err().contains("\tat "), "a stack trace was printed: " + cli.err());
    return cli;
  }

  private static void assertLine(Cli cli, String line) {
    assertTrue(cli.out().lines().anyMatch(line::equals), line + " in\n" + cli.out());
  }
}
