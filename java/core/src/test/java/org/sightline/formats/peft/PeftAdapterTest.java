package org.sightline.formats.peft;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;
import org.sightline.formats.FormatException;
import org.sightline.formats.safetensors.ElementType;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.formats.safetensors.SafetensorsTest;

class PeftAdapterTest {
  private static final String Q = "language_model.model.layers.0.self_attn.q_proj";
  private static final String PATCH = "vision_backbone.featurizer.patch_embed.proj";

  /** OpenVLA's settings as PEFT 0.11 writes them: sorted keys, two spaces, no final newline. */
  private static final String CONFIG =
      """
      {
        "alpha_pattern": {},
        "auto_mapping": null,
        "base_model_name_or_path": "openvla/openvla-7b",
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": "gaussian",
        "layer_replication": null,
        "layers_pattern": null,
        "layers_to_transform": null,
        "loftq_config": {},
        "lora_alpha": 16,
        "lora_dropout": 0.0,
        "megatron_config": null,
        "megatron_core": "megatron.core",
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": 2,
        "rank_pattern": {},
        "revision": null,
        "target_modules": [
          "proj",
          "q_proj"
        ],
        "task_type": null,
        "use_dora": false,
        "use_rslora": false
      }\
      """;

  @TempDir Path folder;

  @Test
  void writesWhatPeftWrites() throws IOException {
    LoraConfig lora = new LoraConfig(2, 16, 0, false, LoraInit.GAUSSIAN);
    Map<String, LoraPair> adapters = new LinkedHashMap<>();
    adapters.put(Q, linear(2, 3, 4));
    adapters.put(PATCH, convolution(2, 3, 14, 5));
    PeftConfig config = PeftConfig.of(lora, adapters.keySet()).withBaseModel("openvla/openvla-7b");
    new PeftAdapter(config, adapters).write(folder.resolve("new/adapter"));

    Path written = folder.resolve("new/adapter");
    assertEquals(CONFIG, Files.readString(written.resolve("adapter_config.json")));
    try (Safetensors file = Safetensors.open(written.resolve("adapter_model.safetensors"))) {
      assertEquals(Map.of("format", "pt"), file.metadata());
      assertEquals(
          List.of(
              "base_model.model." + Q + ".lora_A.weight",
              "base_model.model." + Q + ".lora_B.weight",
              "base_model.model." + PATCH + ".lora_A.weight",
              "base_model.model." + PATCH + ".lora_B.weight"),
          List.copyOf(file.names()));
      assertEquals(
          List.of(2L, 3L, 14L, 14L),
          file.info("base_model.model." + PATCH + ".lora_A.weight").shape());
    }
    String card = Files.readString(written.resolve("README.md"));
    assertEquals(
        true, card.startsWith("---\nbase_model: openvla/openvla-7b\nlibrary_name: peft\n"), card);
    assertEquals(true, card.contains("Rank 2, alpha 16, 2 modules."));
  }

  @Test
  void writesOtherSettingsAndNonAsciiNames() throws IOException {
    LoraConfig lora = new LoraConfig(2, 12.5, 0.05, true, LoraInit.KAIMING_UNIFORM);
    PeftConfig config =
        new PeftConfig(
            lora,
            PeftTargets.of(List.of("q_proj")),
            Map.of(),
            Map.of(),
            "b\u00e4se \"x\"\u007f",
            "CAUSAL_LM");
    String json = config.toJson();
    for (String line :
        List.of(
            "  \"base_model_name_or_path\": \"b\\u00e4se \\\"x\\\"\\u007f\",",
            "  \"init_lora_weights\": true,",
            "  \"lora_alpha\": 12.5,",
            "  \"lora_dropout\": 0.05,",
            "  \"task_type\": \"CAUSAL_LM\",",
            "  \"use_rslora\": true\n}")) {
      assertEquals(true, json.contains(line), () -> line + " in\n" + json);
    }
    new PeftAdapter(config, Map.of(Q, linear(2, 3, 4))).write(folder);
    try (PeftAdapter read = PeftAdapter.read(folder)) {
      assertEquals(config, read.config());
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"F32", "BF16", "F16"})
  void readsBackTheBits(ElementType type) throws IOException {
    LoraConfig lora = LoraConfig.of(3, 8);
    Map<String, LoraPair> adapters = new LinkedHashMap<>();
    adapters.put("b.q_proj", cast(linear(3, 7, 5), type));
    adapters.put("a.k_proj", cast(linear(3, 1, 2), type));
    adapters.put(PATCH, cast(convolution(3, 2, 4, 6), type));
    new PeftAdapter(PeftConfig.of(lora, adapters.keySet()), adapters).write(folder);
    try (PeftAdapter read = PeftAdapter.read(folder)) {
      assertEquals(lora, read.config().lora());
      assertEquals(PeftTargets.of(List.of("k_proj", "proj", "q_proj")), read.config().targets());
      assertEquals(adapters.keySet(), read.adapters().keySet());
      adapters.forEach(
          (module, pair) -> {
            LoraPair back = read.adapters().get(module);
            assertEquals(type, ElementType.of(back.a()));
            assertArrayEquals(SafetensorsTest.bytes(pair.a()), SafetensorsTest.bytes(back.a()));
            assertArrayEquals(SafetensorsTest.bytes(pair.b()), SafetensorsTest.bytes(back.b()));
            assertEquals(pair.b().dim(), back.b().dim());
          });
    }
  }

  @Test
  void keepsAReadmeAndReplacesTheRest() throws IOException {
    Files.writeString(folder.resolve("README.md"), "mine");
    adapter(2).write(folder);
    adapter(3).write(folder);
    assertEquals("mine", Files.readString(folder.resolve("README.md")));
    try (PeftAdapter read = PeftAdapter.read(folder)) {
      assertEquals(3, read.config().lora().rank());
      assertEquals(3, read.adapters().get(Q).a().size(0));
    }
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(3, files.count());
    }
  }

  /** PEFT stores a copy of an adapted output layer; patterns and absent keys take defaults. */
  @Test
  void readsPeftsOwnPeculiarities() throws IOException {
    LoraPair pair = linear(8, 3, 4);
    Safetensors.write(
        folder.resolve(PeftAdapter.WEIGHTS),
        Map.of(
            "base_model.model.language_model.lm_head.lora_A.weight", pair.a(),
            "base_model.model.language_model.lm_head.lora_B.weight", pair.b(),
            "base_model.model.language_model.lm_head.base_layer.weight",
                SafetensorsTest.zeros(ElementType.BF16, 4, 3)),
        Map.of());
    Files.writeString(
        folder.resolve(PeftAdapter.CONFIG),
        """
        {"peft_type": "LORA", "target_modules": "all-linear", "inference_mode": true,
         "auto_mapping": {"base_model_class": "OpenVLAForActionPrediction"}, "modules_to_save": [],
         "peft_version": "0.18.0", "eva_config": null, "qalora_group_size": 16, "lora_bias": false}
        """);
    try (PeftAdapter read = PeftAdapter.read(folder)) {
      assertEquals(Set.of("language_model.lm_head"), read.adapters().keySet());
      assertEquals(
          new PeftTargets(new ModuleFilter.AllLinear(), null, List.of(), List.of()),
          read.config().targets());
      assertEquals(LoraConfig.of(8, 8), read.config().lora());
    }
  }

  static Stream<Arguments> unsupported() {
    String off = ", expected null, false or empty: not supported";
    return Stream.of(
        arguments("\"use_dora\": true", "use_dora: found true" + off),
        arguments("\"modules_to_save\": [\"x\"]", "modules_to_save: found [\"x\"]" + off),
        arguments("\"use_qalora\": true", "use_qalora: found true" + off),
        arguments("\"layer_replication\": [[0, 2]]", "layer_replication: found [[0,2]]" + off),
        arguments("\"trainable_token_indices\": [3]", "trainable_token_indices: found [3]" + off),
        arguments(
            "\"loftq_config\": {\"loftq_bits\": 4}",
            "loftq_config: found {\"loftq_bits\":4}" + off),
        arguments(
            "\"rank_pattern\": {\"q\": 4.5}",
            "rank_pattern: q: found 4.5, expected an integer of 1 or more"),
        arguments(
            "\"rank_pattern\": [4]",
            "rank_pattern: found [4], expected an object from module patterns to numbers"),
        arguments(
            "\"alpha_pattern\": {\"q\": true}", "alpha_pattern: q: found true, expected a number"),
        arguments(
            "\"rank_pattern\": {\"q(\": 4}",
            "patterns: rank_pattern: q(: found \"q(\", expected a regular expression, without look-around and back-references: missing closing )"),
        arguments(
            "\"target_modules\": \"[q\"",
            "target_modules: found \"[q\", expected a regular expression, without look-around and back-references: missing closing ]"),
        arguments(
            "\"exclude_modules\": [\"q_proj\"]",
            "target_modules, exclude_modules, layers_to_transform: found adapters of modules they do"
                + " not reach: ["
                + Q
                + "], expected each adapter of adapter_model.safetensors among them"),
        arguments(
            "\"layers_to_transform\": [1.5]",
            "layers_to_transform: found [1.5], expected integers of 0 or more"),
        arguments("\"fan_in_fan_out\": true", "fan_in_fan_out: found true" + off),
        arguments("\"lora_bias\": true", "lora_bias: found true" + off),
        arguments("\"from_the_future\": 0.5", "from_the_future: found 0.5" + off),
        arguments("\"bias\": \"all\"", "bias: found \"all\", expected none"),
        arguments("\"peft_type\": \"LOHA\"", "peft_type: found \"LOHA\", expected LORA"),
        arguments(
            "\"init_lora_weights\": \"pissa\"",
            "init_lora_weights: found \"pissa\", expected true, false, \"gaussian\", \"orthogonal\" or \"eva\""),
        arguments("\"r\": 2.5", "r: found 2.5, expected an integer of 1 or more"),
        arguments("\"r\": \"2\"", "r: found \"2\", expected a number"),
        arguments("\"lora_alpha\": null", "lora_alpha: found null, expected a number"),
        arguments(
            "\"lora_dropout\": 1.5",
            "r, lora_alpha, lora_dropout: dropout must be in [0, 1), found 1.5"),
        arguments("\"use_rslora\": \"yes\"", "use_rslora: found \"yes\", expected true or false"),
        arguments(
            "\"target_modules\": [1]", "target_modules: found [1], expected a list of strings"),
        arguments("\"task_type\": 3", "task_type: found 3, expected a string"));
  }

  @ParameterizedTest
  @MethodSource("unsupported")
  void refusesUnsupportedSettingsByName(String setting, String message) throws IOException {
    adapter(2).write(folder);
    Path config = folder.resolve(PeftAdapter.CONFIG);
    JsonObject json = JsonParser.parseString(Files.readString(config)).getAsJsonObject();
    JsonParser.parseString("{" + setting + "}").getAsJsonObject().asMap().forEach(json::add);
    Files.writeString(config, json.toString());
    FormatException error = assertThrows(FormatException.class, () -> PeftAdapter.read(folder));
    assertEquals(config + ": " + message, error.getMessage());
  }

  @Test
  void refusesIncompleteOrForeignTensors() throws IOException {
    adapter(2).write(folder);
    Path file = folder.resolve(PeftAdapter.WEIGHTS);
    LoraPair pair = linear(2, 3, 4);
    String name = "base_model.model.q_proj.lora_A.weight";
    Safetensors.write(file, Map.of(name, pair.a()), Map.of());
    assertRefused(
        file, name + ": found no base_model.model.q_proj.lora_B.weight, expected both of the pair");

    String other = "base_model.model.q_proj.lora_B.weight";
    Safetensors.write(file, Map.of(name, pair.a(), other, pair.a()), Map.of());
    assertRefused(
        file,
        "base_model.model.q_proj: found lora_A [2, 3] and lora_B [2, 3], expected [2, in] and [out, 2],"
            + " or [2, in, kh, kw] and [out, 2, 1, 1]");

    Safetensors.write(file, Map.of("embed_tokens.weight", pair.a()), Map.of());
    assertRefused(
        file,
        "embed_tokens.weight: found a tensor of that name, expected"
            + " base_model.model.<module>.lora_A.weight or .lora_B.weight");

    Safetensors.write(file, Map.of(), Map.of());
    assertRefused(file, "tensors: found no adapter, expected at least one");

    Files.delete(file);
    assertEquals(
        folder
            + ": found no adapter_model.safetensors, expected one (pickled .bin adapters are not"
            + " read)",
        assertThrows(IOException.class, () -> PeftAdapter.read(folder)).getMessage());
  }

  @Test
  void refusesPairsThatDoNotFitTheRankBeforeWriting() {
    PeftConfig config = PeftConfig.of(LoraConfig.of(4, 8), List.of(Q));
    assertEquals(
        "adapter of '"
            + Q
            + "': found lora_A [2, 3] and lora_B [5, 2], expected [4, in] and"
            + " [out, 4], or [4, in, kh, kw] and [out, 4, 1, 1]",
        assertThrows(
                IllegalArgumentException.class,
                () -> new PeftAdapter(config, Map.of(Q, linear(2, 3, 5))))
            .getMessage());
    LoraPair fits = linear(4, 3, 5);
    LoraPair mixed = new LoraPair(fits.a(), fits.b().to(torch.ScalarType.BFloat16));
    assertEquals(
        "adapter of '"
            + Q
            + "': found lora_A of dtype F32 and lora_B of dtype BF16, expected the"
            + " same",
        assertThrows(
                IllegalArgumentException.class, () -> new PeftAdapter(config, Map.of(Q, mixed)))
            .getMessage());
    assertEquals(
        "adapters: found none, expected at least one module",
        assertThrows(IllegalArgumentException.class, () -> new PeftAdapter(config, Map.of()))
            .getMessage());
  }

  private void assertRefused(Path file, String message) {
    FormatException error = assertThrows(FormatException.class, () -> PeftAdapter.read(folder));
    assertEquals(file + ": " + message, error.getMessage());
  }

  private static PeftAdapter adapter(int rank) {
    return new PeftAdapter(
        PeftConfig.of(LoraConfig.of(rank, 8), List.of(Q)), Map.of(Q, linear(rank, 3, 4)));
  }

  private static LoraPair linear(long rank, long in, long out) {
    return new LoraPair(torch.randn(rank, in), torch.randn(out, rank));
  }

  private static LoraPair convolution(long rank, long channels, long kernel, long out) {
    return new LoraPair(torch.randn(rank, channels, kernel, kernel), torch.randn(out, rank, 1, 1));
  }

  private static LoraPair cast(LoraPair pair, ElementType type) {
    Tensor a = pair.a().to(type.scalarType());
    return new LoraPair(a, pair.b().to(type.scalarType()));
  }
}
