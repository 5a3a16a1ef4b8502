package org.sightline.vla.teacher;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.DType;
import org.sightline.Device;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.safetensors.Safetensors;
import org.sightline.vla.checkpoint.SafetensorsWeights;
import org.sightline.vla.model.ParameterSpec;

/** Folders, presets and what a user reads when a teacher cannot be loaded. */
class TeacherLoadingTest {
  private static final String TINY_DINO = TinyTeacher.CONFIG;

  @TempDir private Path folder;

  private void write(String config, Map<String, Tensor> tensors) throws Exception {
    TinyTeacher.write(folder, config, tensors);
  }

  private VisionTeacher open() throws Exception {
    return VisionTeacher.open(folder, 2, DType.FLOAT32);
  }

  /** The message, with the folder's path taken out. */
  private String refused() {
    var e = assertThrows(FormatException.class, this::open);
    return e.getMessage().replace(folder + "/", "");
  }

  /** Totals of the published files, without the tensors that are in them unused. */
  @ParameterizedTest
  @CsvSource({
    "c-radio_v3-b, 98251782",
    "c-radio_v3-l, 319930374",
    "c-radio_v3-h, 651642886",
    "c-radio_v3-g, 1159618566",
    "dinov2_vitl14, 304367616",
    "dinov2_vitg14, 1136479232",
    "siglip-so400m-patch14-224, 412442352",
    "theia-base-patch16-224, 85798656"
  })
  void presetsHaveThePublishedNumberOfParameters(String preset, long expected) throws Exception {
    Path empty = folder.resolve("empty.safetensors");
    Safetensors.write(empty, Map.of("none", torch.zeros(1)), Map.of());
    try (var files = SafetensorsWeights.open(empty)) {
      for (TeacherModel.Variant variant : Architectures.preset(preset, files).variants()) {
        long found = 0;
        for (ParameterSpec parameter : variant.parameters()) {
          for (ParameterSpec part : variant.layout().alternatives(parameter).get(0)) {
            found += part.elements();
          }
        }
        assertEquals(expected, found, variant.layout().name());
      }
    }
  }

  @Test
  void everyPresetIsComplete() throws Exception {
    Path empty = folder.resolve("empty.safetensors");
    Safetensors.write(empty, Map.of("none", torch.zeros(1)), Map.of());
    for (String preset : VisionTeacher.presets()) {
      var e =
          assertThrows(
              FormatException.class,
              () -> VisionTeacher.open(empty, preset, 16, Device.CPU, DType.FLOAT32));
      assertTrue(
          e.getMessage()
              .matches(
                  Pattern.quote(empty + ": tensors: found none of the ")
                      + "[0-9]+ tensors of "
                      + Pattern.quote(preset)
                      + ", expected them under the names of .*; there is \\[none]"),
          e.getMessage());
    }
  }

  /** timm's and RADIO's config.json name a shape; without tensors the first ones are missed. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{'architecture': 'vit_large_patch14_dinov2'} | missing (340):",
        "{'architecture': 'vit_base_patch14_reg4_dinov2'} | reg_token: found [1], expected [1, 4, 768]",
        "{'architecture': 'vit_so400m_patch14_siglip_224'} |     pos_embed [1, 256, 1152]",
        "{'architecture': 'vit_so400m_patch14_siglip_384'} |     pos_embed [1, 729, 1152]",
        "{'patch_size': 16, 'version': 'c-radio_v3-l', 'args': {'model': 'vit_large_patch16_v2_224', 'cpe_max_size': 2048}}"
            + " |     radio_model.model.patch_generator.pos_embed [1, 16384, 1024]",
        "{'args': {'model': 'vit_huge_patch16_224', 'cpe_max_size': 1024}}"
            + " |     radio_model.model.patch_generator.pos_embed [1, 4096, 1280]",
      })
  void publishedConfigurations(String config, String missing) throws Exception {
    // A tensor of each library, so that its names are the ones asked for.
    Map<String, Tensor> none =
        Map.of(
            "radio_model.summary_idxs", torch.zeros(3),
            "reg_token", torch.zeros(1),
            "norm.weight", torch.zeros(1),
            "norm.bias", torch.zeros(1));
    write(config.replace('\'', '"'), none);
    String message = refused();
    assertTrue(message.contains(missing), message);
  }

  @Test
  void shardsAreReadThroughTheIndex() throws Exception {
    try (PointerScope scope = new PointerScope()) {
      Map<String, Tensor> all = TinyTeacher.tensors();
      write(TINY_DINO, all);
      Tensor whole;
      try (VisionTeacher teacher = open()) {
        whole = teacher.features(TeacherOracle.batch(1, 6, 1));
      }
      Files.delete(folder.resolve("model.safetensors"));
      var index = new StringBuilder("{\"weight_map\": {");
      int i = 0;
      for (var entry : all.entrySet()) {
        String shard = "model-0000%d-of-00002.safetensors".formatted(1 + i++ % 2);
        index.append("\"%s\": \"%s\",".formatted(entry.getKey(), shard));
      }
      index.setCharAt(index.length() - 1, '}');
      Files.writeString(folder.resolve("model.safetensors.index.json"), index + "}");
      for (int shard = 0; shard < 2; shard++) {
        var part = new LinkedHashMap<String, Tensor>();
        int j = 0;
        for (var entry : all.entrySet()) {
          if (j++ % 2 == shard) {
            part.put(entry.getKey(), entry.getValue());
          }
        }
        Path file = folder.resolve("model-0000%d-of-00002.safetensors".formatted(shard + 1));
        Safetensors.write(file, part, Map.of());
      }
      try (VisionTeacher teacher = open()) {
        assertTrue(whole.equal(teacher.features(TeacherOracle.batch(1, 6, 1))));
      }
    }
  }

  @Test
  void whatIsNotThereIsNamed() throws Exception {
    var missing =
        assertThrows(
            NoSuchFileException.class,
            () -> VisionTeacher.open(folder.resolve("none"), 2, DType.FLOAT32));
    assertEquals(folder.resolve("none").toString(), missing.getMessage());

    var empty = assertThrows(IOException.class, this::open);
    assertEquals(
        folder + ": found neither model.safetensors nor model.safetensors.index.json, expected one",
        empty.getMessage());

    Safetensors.write(folder.resolve("model.safetensors"), TinyTeacher.tensors(), Map.of());
    var config = assertThrows(NoSuchFileException.class, this::open);
    assertEquals(folder.resolve("config.json").toString(), config.getMessage());
  }

  @Test
  void anUnknownArchitectureNamesTheKnownOnes() throws Exception {
    write("{\"model_type\": \"clip\", \"hidden_size\": 8}", TinyTeacher.tensors());
    assertEquals(
        "config.json: architecture: found model_type clip, architecture none, keys [model_type,"
            + " hidden_size], expected a teacher's: C-RADIOv3 (args.cpe_max_size);"
            + " DINOv2 (model_type dinov2, dinov2_with_registers; timm's vit_*_dinov2);"
            + " SigLIP (model_type siglip, siglip_vision_model; timm's vit_*_siglip_*);"
            + " Theia (backbone facebook/deit-*)",
        refused());
  }

  @Test
  void anUnknownPresetNamesTheKnownOnes() throws Exception {
    write(TINY_DINO, TinyTeacher.tensors());
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> VisionTeacher.open(folder, "dinov3", 2, Device.CPU, DType.FLOAT32));
    assertEquals(
        "teacher preset must be one of %s, found \"dinov3\"".formatted(VisionTeacher.presets()),
        e.getMessage());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "[1]| document: found [1], expected a JSON object",
        "{'model_type': | line 1, column 15: found unexpected end-of-input within/between Object entries, expected JSON",
        "{'model_type': 5}| model_type: found 5, expected a string",
        "{'model_type': 'dinov2', 'hidden_size': 8.5}| hidden_size: found 8.5, expected an integer",
        "{'model_type': 'dinov2', 'hidden_size': 'x'}| hidden_size: found \"x\", expected a number",
        "{'model_type': 'dinov2', 'hidden_act': 'relu'}| hidden_act: found \"relu\", expected gelu",
        "{'model_type': 'dinov2', 'qkv_bias': false}| qkv_bias: found false, expected true",
        "{'model_type': 'dinov2', 'use_swiglu_ffn': 1}"
            + "| use_swiglu_ffn: found 1, expected true or false",
        "{'model_type': 'dinov2', 'num_attention_heads': 5}"
            + "| shape: heads must divide width 768, found 5",
        "{'model_type': 'dinov2', 'image_size': 518}"
            + "| shape: patchSize must divide imageSize 518, found 16",
        "{'architecture': 'vit_huge_patch14_dinov2'}| architecture: found"
            + " \"vit_huge_patch14_dinov2\", expected"
            + " vit_{small,base,large,giant}_patch14_[reg4_]dinov2",
        "{'architecture': 'vit_giantopt_patch16_siglip_256'}| architecture: found"
            + " \"vit_giantopt_patch16_siglip_256\", expected"
            + " vit_{base,large,so400m}_patch<P>_siglip_<SIZE>",
        "{'architecture': 'vit_base_patch0_siglip_224'}| architecture: found"
            + " \"vit_base_patch0_siglip_224\", expected"
            + " vit_{base,large,so400m}_patch<P>_siglip_<SIZE>",
        "{'model_type': 'siglip', 'vision_config': 1}| vision_config: found 1, expected an object",
        "{'model_type': 'siglip', 'vision_config': {'hidden_act': 'gelu'}}"
            + "| vision_config.hidden_act: found \"gelu\", expected gelu_pytorch_tanh",
        "{'model_type': 'siglip', 'patch_size': 0}| patch_size: found 0, expected at least 1",
        "{'translator_type': 'lconv'}| backbone: found no such key, expected a string",
        "{'translator_type': 'lconv', 'backbone': 'facebook/vit'}| backbone: found"
            + " \"facebook/vit\", expected facebook/deit-{tiny,small,base}-patch16-224",
        "{'translator_type': 'lconv', 'backbone': 'facebook/deit-base-patch16-224',"
            + " 'num_reg_tokens': 7}| num_reg_tokens: found 7, expected 0",
        "{'args': {'cpe_max_size': 2048, 'model': 'vitdet'}}| args.model: found \"vitdet\","
            + " expected one of [vit_base_patch16_v2_224, vit_large_patch16_v2_224,"
            + " vit_huge_patch16_224, vit_giant_patch16_224]",
        "{'patch_size': 14, 'args': {'cpe_max_size': 2048}}| patch_size: found 14, expected 16",
        "{'vitdet_window_size': 14, 'args': {'cpe_max_size': 2048}}"
            + "| vitdet_window_size: found 14, expected null",
        "{'feature_normalizer_config': {}, 'args': {'cpe_max_size': 2048}}"
            + "| feature_normalizer_config: found {}, expected null",
        "{'args': {'cpe_max_size': 8, 'model': 'vit_huge_patch16_224'}}"
            + "| shape: imageSize must be at least 1, found 0",
      })
  void settingsThatAreNotSupportedAreNamed(String config, String expected) throws Exception {
    write(config.replace('\'', '"'), TinyTeacher.tensors());
    assertEquals("config.json: " + expected, refused());
  }

  /** More than an int can count: a tensor without elements may have any size beside its zero. */
  @Test
  void registersThatNobodyCanCountAreOfAnotherShape() throws IOException {
    String header =
        "{\"base_model.patch_generator.cls_token.token\":"
            + "{\"dtype\":\"U8\",\"shape\":[4611686018427387904,0],\"data_offsets\":[0,0]}}";
    ByteBuffer bytes = ByteBuffer.allocate(8 + header.length()).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(header.length()).put(header.getBytes(StandardCharsets.UTF_8));
    Path file = Files.write(folder.resolve("radio.safetensors"), bytes.array());
    String message =
        assertThrows(
                FormatException.class,
                () -> VisionTeacher.open(file, "c-radio_v3-b", 6, Device.CPU, DType.FLOAT32))
            .getMessage();
    assertTrue(message.startsWith(file.toString()), message);
    assertTrue(message.contains("[4611686018427387904, 0]"), message);
  }

  @Test
  void everyTensorIsAccountedFor() throws Exception {
    Map<String, Tensor> tensors = TinyTeacher.tensors();
    tensors.remove("encoder.layer.0.attention.attention.key.bias");
    tensors.remove("layernorm.weight");
    tensors.put("encoder.layer.1.norm1.weight", torch.zeros(8));
    tensors.put("embeddings.position_embeddings", torch.zeros(1, 4, 8));
    tensors.put("encoder.layer.0.mlp.fc2.bias", torch.zeros(8).to(ScalarType.Int));
    write(TINY_DINO, tensors);
    assertEquals(
        """
        : tensors: do not fit dinov2 as Hugging Face's Dinov2Model names them
          wrong shape (1):
            embeddings.position_embeddings: found [1, 4, 8], expected [1, 5, 8]
          missing (2):
            encoder.layer.0.attention.attention.key.bias [8]
            layernorm.weight [8]
          wrong dtype (1):
            encoder.layer.0.mlp.fc2.bias: found I32, expected one of [F16, BF16, F32]
          unexpected (1):
            encoder.layer.1.norm1.weight [8] in model.safetensors"""
            .replace("\n  ", "\n  "),
        refused().substring(folder.toString().length()));
  }

  @Test
  void aTruncatedFileIsNamed() throws Exception {
    write(TINY_DINO, TinyTeacher.tensors());
    Path file = folder.resolve("model.safetensors");
    byte[] bytes = Files.readAllBytes(file);
    for (int length : new int[] {0, 5, 100, bytes.length - 1}) {
      Files.write(file, Arrays.copyOf(bytes, length));
      var e = assertThrows(FormatException.class, this::open);
      assertTrue(e.getMessage().contains(file + ": "), e.getMessage());
    }
  }

  @Test
  void imagesThatAreNoPatchesAreNamed() throws Exception {
    write(TINY_DINO, TinyTeacher.tensors());
    try (PointerScope scope = new PointerScope();
        var files = TeacherFolder.open(folder)) {
      TeacherModel model = Architectures.of(JsonFields.read(folder.resolve("config.json")), files);
      TeacherWeights weights = TeacherWeights.of(files, model);
      try (var encoder =
          new org.sightline.vla.model.VisionEncoder(
              weights.config().vision(), weights, true, Device.CPU, DType.FLOAT32)) {
        assertArrayEquals(new long[] {1, 6, 8}, encoder.forward(torch.zeros(1, 3, 9, 6)).shape());
        var e =
            assertThrows(
                IllegalArgumentException.class, () -> encoder.forward(torch.zeros(1, 3, 8, 6)));
        assertEquals(
            "images must have sides that are multiples of the patch size 3, found 8×6",
            e.getMessage());
      }
    }
    var grid =
        assertThrows(
            IllegalArgumentException.class, () -> VisionTeacher.open(folder, 0, DType.FLOAT32));
    assertEquals("studentGrid must be at least 1, found 0", grid.getMessage());
  }

  /** Before a name is made for each block, and before anything of that size is allocated. */
  @ParameterizedTest
  @ValueSource(strings = {"2147483647", "1073741824", "100000000", "65536", "0", "-1", "1e18"})
  void absurdSizesAreRefusedAtOnce(String value) throws Exception {
    for (String key :
        List.of(
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "mlp_ratio",
            "image_size",
            "patch_size")) {
      String config =
          TINY_DINO.replaceFirst("\"" + key + "\": \\d+", "\"%s\": %s".formatted(key, value));
      TinyTeacher.write(folder, config, TinyTeacher.tensors());
      String message =
          assertTimeoutPreemptively(
              Duration.ofSeconds(10),
              () ->
                  assertThrows(
                          IOException.class,
                          () ->
                              VisionTeacher.open(folder, null, 2, Device.CPU, DType.FLOAT32)
                                  .close(),
                          key)
                      .getMessage());
      assertTrue(message.startsWith(folder.toString()), message);
    }
    String json =
        "{\"image_size\": 12, \"patch_size\": 3, \"width\": 24, \"depth\": 2147483647, \"heads\": 3,"
            + " \"mlp_width\": 40, \"class_tokens\": 1, \"register_tokens\": 0, \"class_position\": true,"
            + " \"layer_scale\": true, \"final_norm\": true, \"layer_norm_eps\": 1e-6,"
            + " \"mean\": [0.5, 0.5, 0.5], \"std\": [0.5, 0.5, 0.5], \"weights\": \"none\"}";
    Path file = folder.resolve("teacher.safetensors");
    Safetensors.write(file, TinyTeacher.tensors(), Map.of("sightline.teacher", json));
    String message =
        assertTimeoutPreemptively(
            Duration.ofSeconds(10),
            () ->
                assertThrows(
                        IOException.class,
                        () -> VisionTeacher.open(file, null, 2, Device.CPU, DType.FLOAT32).close())
                    .getMessage());
    assertTrue(message.contains("found 2147483647 blocks, expected at most"), message);
  }
}
