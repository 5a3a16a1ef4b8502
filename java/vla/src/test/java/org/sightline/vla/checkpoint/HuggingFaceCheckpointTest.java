package org.sightline.vla.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.DType;
import org.sightline.formats.FormatException;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.data.text.HuggingFacePromptTokenizer;
import org.sightline.vla.model.ModelSpec;
import org.sightline.vla.model.OpenVla;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.ParameterSpec;
import org.sightline.vla.model.TinyModels;
import org.sightline.vla.model.Weights;

/** Folders of Hugging Face: what the files say, and every tensor accounted for. */
class HuggingFaceCheckpointTest {
  private static final OpenVlaConfig TINY = TinyModels.config();

  @TempDir private Path parent;

  /** A tiny model in shards of at most 20 kB. */
  private Path folder() throws IOException {
    Path folder = parent.resolve("model");
    HuggingFaceCheckpoint.write(
        folder, TINY, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, 20_000);
    return folder;
  }

  @Test
  void whatIsWrittenIsReadAsTheSameModel() throws IOException {
    Path folder = folder();
    assertTrue(Files.exists(folder.resolve("model.safetensors.index.json")));
    try (PointerScope scope = new PointerScope();
        HuggingFaceCheckpoint read = HuggingFaceCheckpoint.open(folder);
        var model = new OpenVla(read.config(), read, DType.FLOAT32, null, 0);
        var direct =
            new OpenVla(TINY, spec -> TinyModels.weight(spec, 1), DType.FLOAT32, null, 0)) {
      assertEquals(TINY, read.config());
      assertTrue(read.tensors().shards().size() > 3);
      VlaBatch batch = TinyModels.batch(TINY, 3, 9, 9, 8);
      assertArrayEquals(
          TinyModels.doubles(direct.forward(batch, Set.of(2)).hiddenStates().get(2)),
          TinyModels.doubles(model.forward(batch, Set.of(2)).hiddenStates().get(2)));
      assertEquals(
          direct.forward(batch, Set.of()).actionLoss().item_double(),
          model.forward(batch, Set.of()).actionLoss().item_double());
      assertEquals(Map.of(), read.statistics());
    }
  }

  /** The text published with openvla-7b (MODELS §1.5), without its statistics. */
  private static final String PUBLISHED =
      """
      {"architectures": ["OpenVLAForActionPrediction"], "arch_specifier": "no-align+gelu-mlp",
       "hf_llm_id": "meta-llama/Llama-2-7b-hf", "image_resize_strategy": "resize-naive",
       "image_sizes": [224, 224], "llm_backbone_id": "llama2-7b-pure", "llm_max_length": 2048,
       "model_type": "openvla", "n_action_bins": 256, "output_projector_features": false,
       "pad_to_multiple_of": 64, "pad_token_id": 32000,
       "text_config": {"model_type": "llama", "pad_token_id": 32000, "torch_dtype": "bfloat16",
                       "vocab_size": 32064},
       "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
       "timm_override_act_layers": [null, null], "torch_dtype": "bfloat16",
       "transformers_version": "4.40.1", "use_fused_vision_backbone": true,
       "vision_backbone_id": "dinosiglip-vit-so-224px"}
      """;

  private OpenVlaConfig read(JsonObject json) throws IOException {
    Path file = parent.resolve("config.json");
    Files.writeString(file, json.toString());
    return OpenVlaConfigJson.read(file);
  }

  private static JsonObject published() {
    return JsonParser.parseString(PUBLISHED).getAsJsonObject();
  }

  @Test
  void thePublishedConfigurationIsOpenVla7b() throws IOException {
    assertEquals(OpenVlaConfig.openVla7b(), read(published()));
    OpenVlaConfig nano = OpenVlaConfig.nano();
    assertEquals(nano, read(OpenVlaConfigJson.toJson(nano, "float32")));
    OpenVlaConfig seven = OpenVlaConfig.openVla7b();
    OpenVlaConfig full = TinyModels.with(seven, seven.text().vocabularySize(), 64, 1e-5);
    assertEquals(
        full.text(), read(OpenVlaConfigJson.toJson(full, "bfloat16")).text(), "another epsilon");
  }

  @Test
  void rotaryBaseMayStandWhereTransformers5HasIt() throws IOException {
    JsonObject json = published();
    json.getAsJsonObject("text_config")
        .add(
            "rope_parameters",
            JsonParser.parseString("{\"rope_type\": \"default\", \"rope_theta\": 50000.0}"));
    assertEquals(50000, read(json).text().ropeTheta());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "model_type | \"prismatic\" | model_type: found \"prismatic\", expected openvla",
        "use_fused_vision_backbone | false | use_fused_vision_backbone: found false, expected true",
        "timm_model_ids | [\"a\",\"b\"] | timm_model_ids: found [\"a\",\"b\"], expected [vit_large",
        "timm_override_act_layers | [null,\"quick_gelu\"] | timm_override_act_layers: found",
        "image_sizes | [384,384] | image_sizes: found [384,384], expected all 224",
        "n_action_bins | 1 | sizes: actionBins must be at least 2, found 1",
        "text_config.hidden_act | \"gelu\" | text_config.hidden_act: found \"gelu\", expected silu",
        "text_config.num_key_value_heads | 8 | num_key_value_heads: found 8, expected 32",
        "text_config.head_dim | 64 | text_config.head_dim: found 64, expected 128",
        "text_config.attention_bias | true | attention_bias: found true, expected false",
        "text_config.tie_word_embeddings | true | tie_word_embeddings: found true, expected false",
        "text_config.rope_scaling | {\"type\":\"linear\",\"factor\":2} | rope_scaling.type: found"
            + " \"linear\", expected default",
        "text_config.hidden_size | \"4096\" | text_config.hidden_size: found \"4096\", expected a"
            + " number",
        "text_config.vocab_size | 320 | sizes: vocabularySize must exceed",
        "text_config | 3 | text_config: found 3, expected an object",
      })
  void whatWouldComputeSomethingElseIsRefused(String key, String value, String expected) {
    JsonObject json = published();
    JsonElement replaced = JsonParser.parseString(value);
    if (key.startsWith("text_config.")) {
      json.getAsJsonObject("text_config").add(key.substring(12), replaced);
    } else {
      json.add(key, replaced);
    }
    var e = assertThrows(FormatException.class, () -> read(json));
    assertTrue(e.getMessage().contains(expected), e.getMessage());
    assertTrue(e.getMessage().startsWith(parent.resolve("config.json") + ": "), e.getMessage());
  }

  /** One of each kind of defect, all in one error. */
  @Test
  void everyTensorIsAccountedFor() throws IOException {
    Map<String, Tensor> tensors = TinyModels.weights(TINY, 1);
    Path file = parent.resolve("m.safetensors");
    tensors.put("language_model.model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(4));
    Safetensors.write(file, tensors, Map.of());
    HuggingFaceCheckpoint.open(List.of(file), TINY).close(); // ignores what Llama computes

    tensors.remove("projector.fc1.bias");
    tensors.remove("vision_backbone.fused_featurizer.attn_pool.latent"); // never used, yet missed
    tensors.put("projector.fc4.weight", torch.zeros(2, 3));
    tensors.put("projector.fc2.bias", torch.zeros(31));
    tensors.put("projector.fc3.bias", torch.zeros(32).to(ScalarType.Char));
    Safetensors.write(file, tensors, Map.of());
    var e =
        assertThrows(FormatException.class, () -> HuggingFaceCheckpoint.open(List.of(file), TINY));
    assertEquals(
        file
            + """
            : tensors: do not fit tiny as Hugging Face's OpenVLA names them
              missing (2):
                vision_backbone.fused_featurizer.attn_pool.latent [1, 1, 16]
                projector.fc1.bias [48]
              wrong shape (1):
                projector.fc2.bias: found [31], expected [32]
              wrong dtype (1):
                projector.fc3.bias: found I8, expected one of [F16, BF16, F32]
              unexpected (1):
                projector.fc4.weight [2, 3] in m.safetensors\
            """,
        e.getMessage());

    Safetensors.write(file, Map.of("model.embed", torch.zeros(2)), Map.of());
    e = assertThrows(FormatException.class, () -> HuggingFaceCheckpoint.open(List.of(file), TINY));
    assertTrue(e.getMessage().contains("found none of the "), e.getMessage());
    assertTrue(e.getMessage().endsWith("there is [model.embed]"), e.getMessage());
    tensors.values().forEach(Tensor::close);
  }

  @Test
  void bf16KeepsItsBitsAndOtherTypesAreRoundedOnce() throws IOException {
    Path folder = parent.resolve("half");
    HuggingFaceCheckpoint.write(
        folder, TINY, spec -> TinyModels.weight(spec, 2), DType.BFLOAT16, 1L << 30);
    ParameterSpec spec =
        ModelSpec.of(TINY).parameters().stream()
            .filter(p -> p.name().equals("language_model.lm_head.weight"))
            .findFirst()
            .orElseThrow();
    try (PointerScope scope = new PointerScope();
        HuggingFaceCheckpoint read = HuggingFaceCheckpoint.open(folder)) {
      Tensor expected = TinyModels.weight(spec, 2).to(ScalarType.BFloat16);
      assertTrue(read.get(spec).equal(expected));
      assertEquals(ScalarType.BFloat16, read.get(spec).scalar_type().intern());
      VlaBatch batch = TinyModels.batch(TINY, 3, 9, 9, 8);
      try (var fromHalf = new OpenVla(TINY, read, DType.BFLOAT16, null, 0);
          var fromFull = new OpenVla(TINY, p -> TinyModels.weight(p, 2), DType.BFLOAT16, null, 0)) {
        assertEquals(
            fromFull.forward(batch, Set.of()).actionLoss().item_double(),
            fromHalf.forward(batch, Set.of()).actionLoss().item_double());
      }
    }
  }

  @Test
  void statisticsComeFromTheirOwnFileOrTheConfiguration() throws IOException {
    Path folder = folder();
    String entry =
        """
        {"action": {"mean": [0], "std": [1], "min": [-1], "max": [1], "q01": [-0.5], "q99": [%s],
         "mask": [true]}, "num_transitions": 5, "num_trajectories": 2}\
        """;
    JsonObject config =
        JsonParser.parseString(Files.readString(folder.resolve("config.json"))).getAsJsonObject();
    var stats = new JsonObject();
    stats.add("bridge", JsonParser.parseString(entry.formatted("0.25")));
    stats.add("fractal", JsonParser.parseString(entry.formatted("0.75")));
    config.add("norm_stats", stats);
    Files.writeString(folder.resolve("config.json"), config.toString());
    try (HuggingFaceCheckpoint read = HuggingFaceCheckpoint.open(folder)) {
      assertEquals(Set.of("bridge", "fractal"), read.statistics().keySet());
      assertEquals(0.75, read.statistics().get("fractal").q99()[0]);
    }
    Files.writeString(
        folder.resolve("dataset_statistics.json"), "{\"mine\": " + entry.formatted("0.125") + "}");
    try (HuggingFaceCheckpoint read = HuggingFaceCheckpoint.open(folder)) {
      assertEquals(Set.of("mine"), read.statistics().keySet());
      assertEquals(0.125, read.statistics().get("mine").q99()[0]);
    }
  }

  /** Keys and values of the published file, at the tiny model's size. */
  private static final String PREPROCESSOR =
      """
      {"image_processor_type": "PrismaticImageProcessor", "image_resize_strategy": "resize-naive",
       "input_sizes": [[3, 15, 15], [3, 15, 15]], "interpolations": ["bicubic", "bicubic"],
       "means": [[0.485, 0.456, 0.406], [0.5, 0.5, 0.5]],
       "stds": [[0.229, 0.224, 0.225], [0.5, 0.5, 0.5]],
       "tvf_crop_params": [{"output_size": [15, 15]}, {"output_size": [15, 15]}],
       "tvf_do_letterbox": false, "tvf_letterbox_fill": null,
       "tvf_normalize_params": [
        {"inplace": false, "mean": [0.484375, 0.455078125, 0.40625],
         "std": [0.228515625, 0.2236328125, 0.224609375]},
        {"inplace": false, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}],
       "tvf_resize_params": [
        {"antialias": true, "interpolation": 3, "max_size": null, "size": [15, 15]},
        {"antialias": true, "interpolation": 3, "max_size": null, "size": [15, 15]}]}
      """;

  @Test
  void aPreprocessorMustAskForOurImages() throws IOException {
    Path folder = folder();
    Path file = folder.resolve("preprocessor_config.json");
    Files.writeString(file, PREPROCESSOR);
    HuggingFaceCheckpoint.open(folder).close();
    Map<String, String> changes =
        Map.of(
            "resize-naive\", | letterbox\",",
            "image_resize_strategy: found \"letterbox\", expected resize-naive",
            "0.40625 | 0.406",
            "tvf_normalize_params[0].mean: found [0.484375,0.455078125,0.406], expected",
            "\"std\": [0.5, 0.5, 0.5]} | \"std\": [1, 1, 1]}",
            "tvf_normalize_params[1].std: found [1,1,1], expected [0.5, 0.5, 0.5]",
            "\"size\": [15, 15] | \"size\": [16, 16]",
            "tvf_resize_params[0].size: found [16,16], expected [15.0, 15.0]",
            "\"output_size\": [15, 15] | \"output_size\": [8, 8]",
            "tvf_crop_params[0].output_size: found [8,8], expected [15.0, 15.0]");
    for (var change : changes.entrySet()) {
      String[] parts = change.getKey().split(" \\| ");
      Files.writeString(file, PREPROCESSOR.replace(parts[0], parts[1]));
      var e = assertThrows(FormatException.class, () -> HuggingFaceCheckpoint.open(folder));
      assertTrue(e.getMessage().contains(change.getValue()), e.getMessage());
    }
  }

  @Test
  void anotherModelsTokenizerIsRefused() throws IOException {
    Path nano = parent.resolve("nano");
    OpenVlaConfig config = OpenVlaConfig.nano();
    HuggingFaceCheckpoint.write(nano, config, Weights.random(config, 1), DType.BFLOAT16, 1L << 30);
    Path source = Path.of("t.json");
    try (var tokenizer = HuggingFacePromptTokenizer.embedded()) {
      try (var checkpoint = HuggingFaceCheckpoint.open(nano)) {
        checkpoint.requireTokenizer(tokenizer, source);
      }
      Path file = nano.resolve("config.json");
      JsonObject json = JsonParser.parseString(Files.readString(file)).getAsJsonObject();
      json.addProperty("pad_token_id", 1024);
      Files.writeString(file, json.toString());
      try (var checkpoint = HuggingFaceCheckpoint.open(nano)) {
        var e =
            assertThrows(
                FormatException.class, () -> checkpoint.requireTokenizer(tokenizer, source));
        assertEquals(
            "t.json: the id of padding: found "
                + tokenizer.padId()
                + ", expected 1024 as the model was trained with: is it another model's tokenizer?",
            e.getMessage());
      }
      try (var checkpoint = HuggingFaceCheckpoint.open(folder())) { // vocabulary 64
        var e =
            assertThrows(
                FormatException.class, () -> checkpoint.requireTokenizer(tokenizer, source));
        assertTrue(e.getMessage().contains("expected at most 64"), e.getMessage());
      }
    }
  }

  @Test
  void aFolderNeedsItsConfiguration() throws IOException {
    assertEquals(
        parent + ": found no config.json, expected one beside the weights",
        assertThrows(IOException.class, () -> HuggingFaceCheckpoint.open(parent)).getMessage());
    Path file = Files.writeString(parent.resolve("x"), "");
    assertEquals(
        file + ": found a file, expected a folder with config.json",
        assertThrows(IOException.class, () -> HuggingFaceCheckpoint.open(file)).getMessage());
  }
}
