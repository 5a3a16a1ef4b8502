package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.formats.FormatException;
import org.sightline.formats.peft.LoraPair;
import org.sightline.formats.peft.ModuleFilter;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;
import org.sightline.formats.peft.PeftTargets;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.checkpoint.CheckpointExport;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.loader.VlaBatch;

/** Base and adapter become one model that computes the same. */
class CheckpointExportTest {
  private static final OpenVlaConfig TINY = TinyModels.config();

  /** rsLoRA, other ranks and alphas by pattern, the last vision block left out. */
  private static final PeftConfig PATTERNS =
      new PeftConfig(
          new LoraConfig(3, 2, 0, true, LoraInit.GAUSSIAN),
          PeftTargets.of(ModelSpec.of(TINY).targetModules())
              .without(new ModuleFilter.Regex("vision_backbone\\.featurizer\\.blocks\\.[12]\\..*")),
          Map.of("layers.1.self_attn.[qk]_proj", 2, "lm_head", 5),
          Map.of("lm_head", 4.5),
          "tiny",
          null);

  @TempDir private Path parent;

  private Path base(DType dtype) throws IOException {
    Path folder = parent.resolve("base");
    HuggingFaceCheckpoint.write(folder, TINY, spec -> TinyModels.weight(spec, 1), dtype, 30_000);
    return folder;
  }

  private Path adapter(OpenVla model, PeftConfig config) throws IOException {
    Path folder = parent.resolve("adapter");
    new PeftAdapter(config, model.adapters()).write(folder);
    return folder;
  }

  private static OpenVla model(HuggingFaceCheckpoint base, DType dtype, LoraPlan plan) {
    return OpenVla.of(TINY, base, dtype, plan, 4);
  }

  /**
   * The fp64 reference on merged weights judges both: in fp32 each is within the bound of
   * native/README.md; in bf16, where activations are rounded after every operation, merging (one
   * more rounding of each weight, 2⁻⁹) must not cost more than what rounding activations costs
   * anyway.
   */
  @ParameterizedTest
  @EnumSource(DType.class)
  void mergedLogitsAreThoseOfBaseAndAdapter(DType dtype) throws IOException {
    Path base = base(dtype);
    VlaBatch batch = TinyModels.batch(TINY, 5, 10, 10, 8);
    Path output = parent.resolve("merged");
    try (PointerScope scope = new PointerScope();
        HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(base);
        OpenVla adapted = model(checkpoint, dtype, LoraPlan.of(PATTERNS));
        OpenVla bare = model(checkpoint, dtype, LoraPlan.none())) {
      TinyModels.shakeAdapters(adapted, 6);
      CheckpointExport.write(
          checkpoint, adapter(adapted, PATTERNS), output, 30_000, Device.CPU, tensor -> {});
      double[] expected = reference(checkpoint, adapted.adapters(), batch);
      try (HuggingFaceCheckpoint merged = HuggingFaceCheckpoint.open(output);
          OpenVla loaded = model(merged, dtype, LoraPlan.none())) {
        assertTrue(merged.tensors().shards().size() > 2);
        double unmergedError =
            TinyModels.relativeError(TinyModels.doubles(adapted.logits(batch)), expected);
        double mergedError =
            TinyModels.relativeError(TinyModels.doubles(loaded.logits(batch)), expected);
        double bound = dtype == DType.FLOAT32 ? 1e-5 : 2 * unmergedError;
        assertTrue(mergedError <= bound, mergedError + " against " + unmergedError);
        assertTrue(unmergedError <= (dtype == DType.FLOAT32 ? 1e-5 : 4e-2), "" + unmergedError);
        double untouched =
            TinyModels.relativeError(TinyModels.doubles(bare.logits(batch)), expected);
        assertTrue(untouched > 0.3, "the adapter counts: " + untouched);
      }
    }
  }

  /** Logits of the supervised tokens in fp64, with s·BA added to the stored weights. */
  private static double[] reference(
      HuggingFaceCheckpoint base, Map<String, LoraPair> adapters, VlaBatch batch) {
    var weights = new LinkedHashMap<String, double[]>();
    for (ParameterSpec spec : ModelSpec.of(TINY).parameters()) {
      weights.put(spec.name(), TinyModels.doubles(base.get(spec)));
    }
    adapters.forEach(
        (module, pair) -> {
          int rank = (int) pair.a().size(0);
          double scale = (module.endsWith("lm_head") ? 4.5 : 2) / Math.sqrt(rank);
          double[] a = TinyModels.doubles(pair.a());
          double[] b = TinyModels.doubles(pair.b());
          double[] w = weights.get(module + ".weight");
          int in = a.length / rank;
          for (int i = 0; i < w.length; i++) {
            for (int r = 0; r < rank; r++) {
              w[i] += scale * b[i / in * rank + r] * a[r * in + i % in];
            }
          }
        });
    var logits = new ReferenceOpenVla(TINY, weights).forward(batch).logits();
    long[] labels = TinyModels.longs(batch.labels());
    int columns = (int) batch.labels().size(1);
    var rows = new ArrayList<double[]>();
    for (int i = 0; i < labels.length; i++) {
      if (i % columns > 0 && labels[i] != -100) {
        rows.add(logits.get(i / columns)[TINY.imageTokens() + i % columns - 1]);
      }
    }
    return rows.stream().flatMapToDouble(java.util.Arrays::stream).toArray();
  }

  @Test
  void ranksAndExclusionsReachTheModel() throws IOException {
    try (PointerScope scope = new PointerScope();
        HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(base(DType.FLOAT32));
        OpenVla model = model(checkpoint, DType.FLOAT32, LoraPlan.of(PATTERNS))) {
      Map<String, LoraPair> adapters = model.adapters();
      assertEquals(5, adapters.get("language_model.lm_head").a().size(0));
      assertEquals(2, adapters.get("language_model.model.layers.1.self_attn.k_proj").a().size(0));
      assertEquals(3, adapters.get("language_model.model.layers.0.self_attn.k_proj").a().size(0));
      assertTrue(adapters.containsKey("vision_backbone.featurizer.blocks.0.attn.qkv"));
      assertTrue(
          adapters.keySet().stream()
              .noneMatch(module -> module.matches(".*\\.featurizer\\.blocks\\.[12]\\..*")));
      assertEquals(ModelSpec.of(TINY).loraTargets().size() - 8, adapters.size());
      // q, k and v of one layer are one call though their ranks differ; all learn.
      TinyModels.shakeAdapters(model, 1);
      model.forward(TinyModels.batch(TINY, 5, 10, 10), java.util.Set.of()).actionLoss().backward();
      model
          .trainableParameters()
          .forEach((name, tensor) -> assertTrue(tensor.grad().defined(), name));

      try (PeftAdapter read = PeftAdapter.read(adapter(model, PATTERNS));
          OpenVla again = model(checkpoint, DType.FLOAT32, LoraPlan.of(read))) {
        again.loadAdapters(read.adapters());
        assertEquals(adapters.keySet(), again.adapters().keySet());
        VlaBatch batch = TinyModels.batch(TINY, 5, 10, 10);
        assertTrue(model.logits(batch).equal(again.logits(batch)));
      }
    }
  }

  @Test
  void everythingElseIsKept() throws IOException {
    Path base = base(DType.BFLOAT16);
    Files.writeString(base.resolve("tokenizer.json"), "{}");
    Files.writeString(base.resolve("modeling_prismatic.py"), "# code");
    Files.writeString(base.resolve("model.bin"), "old");
    Files.writeString(base.resolve(".gitattributes"), "hidden");
    String stats =
        """
        {"%s": {"action": {"mean": [0], "std": [1], "min": [-1], "max": [1], "q01": [-0.5],
         "q99": [%s], "mask": [true]}, "num_transitions": 5, "num_trajectories": 2}}\
        """;
    JsonObject config =
        JsonParser.parseString(Files.readString(base.resolve("config.json"))).getAsJsonObject();
    config.add("norm_stats", JsonParser.parseString(stats.formatted("bridge", "0.25")));
    config.add("hf_llm_id", com.google.gson.JsonNull.INSTANCE);
    Files.writeString(base.resolve("config.json"), config.toString());

    Path output = parent.resolve("deeper/merged");
    try (PointerScope scope = new PointerScope();
        HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(base);
        OpenVla model = model(checkpoint, DType.BFLOAT16, LoraPlan.of(PATTERNS))) {
      TinyModels.shakeAdapters(model, 6);
      Path adapter = adapter(model, PATTERNS);
      Files.writeString(adapter.resolve("dataset_statistics.json"), stats.formatted("mine", "0.5"));
      CheckpointExport.write(checkpoint, adapter, output, 1L << 30, Device.CPU, tensor -> {});
      try (HuggingFaceCheckpoint merged = HuggingFaceCheckpoint.open(output)) {
        int changed = 0;
        for (ParameterSpec spec : ModelSpec.of(TINY).parameters()) {
          assertEquals(
              checkpoint.tensors().info(spec.name()).type(),
              merged.tensors().info(spec.name()).type());
          changed += merged.get(spec).equal(checkpoint.get(spec)) ? 0 : 1;
        }
        // Adapters the forward pass never reaches have B = 0 and change nothing.
        assertEquals(model.trainableParameters().size() / 2, changed);
        assertEquals(0.5, merged.statistics().get("mine").q99()[0]);
      }
    }
    assertEquals(
        List.of(
            "config.json",
            "dataset_statistics.json",
            "model.safetensors",
            "modeling_prismatic.py",
            "preprocessor_config.json",
            "tokenizer.json"),
        names(output));
    JsonObject written =
        JsonParser.parseString(Files.readString(output.resolve("config.json"))).getAsJsonObject();
    assertEquals(
        List.of("bridge", "mine"), List.copyOf(written.getAsJsonObject("norm_stats").keySet()));
    assertTrue(written.get("hf_llm_id").isJsonNull());
    assertEquals(config.get("text_config"), written.get("text_config"));
  }

  @Test
  void fp16BasesAreMergedByWayOfFp32() throws IOException {
    Map<String, Tensor> tensors = TinyModels.weights(TINY, 1);
    tensors.replaceAll((name, tensor) -> tensor.to(ScalarType.Half));
    Path file = parent.resolve("half.safetensors");
    Safetensors.write(file, tensors, Map.of());
    String head = "language_model.lm_head";
    LoraPair pair = new LoraPair(torch.randn(2, 32), torch.randn(64, 2));
    Path adapter = parent.resolve("adapter");
    new PeftAdapter(PeftConfig.of(LoraConfig.of(2, 1), List.of(head)), Map.of(head, pair))
        .write(adapter);
    Path output = parent.resolve("merged");
    try (HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(List.of(file), TINY)) {
      CheckpointExport.write(checkpoint, adapter, output, 1L << 30, Device.CPU, tensor -> {});
    }
    try (PointerScope scope = new PointerScope();
        HuggingFaceCheckpoint merged = HuggingFaceCheckpoint.open(output)) {
      Tensor expected =
          tensors
              .get(head + ".weight")
              .to(ScalarType.Double)
              .add(
                  pair.b()
                      .to(ScalarType.Double)
                      .matmul(pair.a().to(ScalarType.Double))
                      .mul(new org.bytedeco.pytorch.Scalar(0.5)));
      Tensor found = merged.tensors().tensor(head + ".weight");
      assertEquals(ScalarType.Half, found.scalar_type().intern());
      // One rounding to fp16: half a unit in the last place, 2⁻¹¹ relative.
      double error =
          TinyModels.relativeError(TinyModels.doubles(found), TinyModels.doubles(expected));
      assertTrue(error < 1.0 / 2048, "error " + error);
      assertEquals(TINY, merged.config());
    }
  }

  @Test
  void aForeignAdapterIsRefusedModuleByModule() throws IOException {
    Path adapter = parent.resolve("adapter");
    Map<String, LoraPair> pairs = new LinkedHashMap<>();
    pairs.put("projector.fc4", new LoraPair(torch.zeros(2, 32), torch.zeros(8, 2)));
    pairs.put("projector.fc3", new LoraPair(torch.zeros(2, 31), torch.zeros(32, 2)));
    pairs.put("projector.fc2", new LoraPair(torch.zeros(2, 48), torch.zeros(32, 2)));
    new PeftAdapter(PeftConfig.of(LoraConfig.of(2, 1), pairs.keySet()), pairs).write(adapter);
    Path output = parent.resolve("merged");
    Path base = base(DType.FLOAT32);
    try (HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(base)) {
      var e =
          assertThrows(
              FormatException.class,
              () ->
                  CheckpointExport.write(
                      checkpoint, adapter, output, 1L << 30, Device.CPU, tensor -> {}));
      assertTrue(e.getMessage().contains("2 of 3 do not fit the base model " + base));
      assertTrue(e.getMessage().contains("projector.fc4: no linear layer of that name"));
      assertTrue(
          e.getMessage()
              .contains(
                  "projector.fc3: found lora_A [2, 31] and lora_B [32, 2], expected [2, 32] and"
                      + " [32, 2]"),
          e.getMessage());
    }
    assertEquals(List.of("adapter", "base"), names(parent));
  }

  @Test
  void nothingIsOverwritten() throws IOException {
    Path base = base(DType.FLOAT32);
    List<String> before = names(base);
    try (HuggingFaceCheckpoint checkpoint = HuggingFaceCheckpoint.open(base)) {
      assertThrows(
          FileAlreadyExistsException.class,
          () -> CheckpointExport.write(checkpoint, null, base, 1L << 30, Device.CPU, tensor -> {}));
    }
    assertEquals(before, names(base));
  }

  private static List<String> names(Path folder) throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(file -> file.getFileName().toString()).sorted().toList();
    }
  }
}
