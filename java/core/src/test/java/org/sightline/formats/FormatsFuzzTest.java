package org.sightline.formats;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.sightline.Fuzz;
import org.sightline.FuzzTargets;
import org.sightline.LoraConfig;
import org.sightline.Sightline;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.peft.LoraPair;
import org.sightline.formats.peft.PeftAdapter;
import org.sightline.formats.peft.PeftConfig;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.formats.safetensors.ShardedSafetensors;

/** Spoiled files of all formats here. */
class FormatsFuzzTest implements FuzzTargets {
  @Override
  public Stream<Fuzz> targets(Path folder) throws IOException {
    Sightline.load();
    Path json =
        Files.writeString(folder.resolve("any.json"), "{\"a\": [1, -2.5e3, {\"b\": \"c\"}]}");
    Path file = folder.resolve("one.safetensors");
    Map<String, Tensor> tensors =
        Map.of("a", torch.randn(2, 3), "b", torch.zeros(5), "c", torch.zeros(0));
    Safetensors.write(file, tensors, Map.of("format", "pt"));
    Path sharded = Files.createDirectory(folder.resolve("sharded"));
    for (String name : List.of("a", "b")) {
      Map<String, Tensor> shard = Map.of(name, tensors.get(name));
      Safetensors.write(sharded.resolve(name + ".safetensors"), shard, Map.of());
    }
    Path index =
        Files.writeString(
            sharded.resolve("model.safetensors.index.json"),
            """
            {"metadata": {"total_size": 44},
             "weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}
            """);
    Path adapter = folder.resolve("adapter");
    Map<String, LoraPair> pairs =
        Map.of(
            "model.layers.0.q", new LoraPair(torch.randn(2, 3), torch.randn(4, 2)),
            "model.layers.1.v", new LoraPair(torch.randn(2, 3), torch.randn(4, 2)));
    new PeftAdapter(PeftConfig.of(LoraConfig.of(2, 4), List.of("q", "v")), pairs).write(adapter);
    Path config = adapter.resolve("adapter_config.json");
    Files.writeString(
        config,
        """
        {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "bias": "none",
         "target_modules": ["q", "v"], "exclude_modules": ["k"], "layers_to_transform": [0, 1],
         "layers_pattern": "layers", "rank_pattern": {"layers.1.v": 2}, "alpha_pattern": {"q": 8},
         "use_rslora": false, "base_model_name_or_path": null, "task_type": "CAUSAL_LM"}
        """);
    return Stream.of(
        Fuzz.of("json", json, JsonFields::read),
        Fuzz.of("safetensors", file, FormatsFuzzTest::readAll),
        Fuzz.ofHeader("safetensors-header", file, FormatsFuzzTest::readAll),
        Fuzz.of("safetensors-index", index, FormatsFuzzTest::readAll),
        Fuzz.ofHeader(
            "peft-weights",
            adapter.resolve("adapter_model.safetensors"),
            f -> PeftAdapter.read(adapter).close()),
        Fuzz.of("peft-config", config, f -> PeftAdapter.read(adapter).close()));
  }

  private static void readAll(Path file) throws IOException {
    try (PointerScope scope = new PointerScope();
        ShardedSafetensors tensors = ShardedSafetensors.open(file)) {
      for (String name : tensors.names()) {
        tensors.tensor(name);
      }
    }
  }
}
