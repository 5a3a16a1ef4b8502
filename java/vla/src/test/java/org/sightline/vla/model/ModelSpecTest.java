package org.sightline.vla.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The published counts of OpenVLA-7B and of PEFT's adapter on it; nothing is allocated here. */
class ModelSpecTest {
  private static final ModelSpec SPEC = ModelSpec.of(OpenVlaConfig.openVla7b());

  @Test
  void checkpointHasThePublishedTensorsAndParameters() {
    assertEquals(982, SPEC.parameters().size());
    assertEquals(7_541_237_184L, elements(SPEC.parameters(), p -> true));
  }

  @ParameterizedTest
  @CsvSource({
    "language_model., 291, 6738939904",
    "projector., 6, 71385600",
    "vision_backbone.featurizer., 343, 303230976",
    "vision_backbone.fused_featurizer., 342, 427680704",
    "vision_backbone.fused_featurizer.attn_pool., 13, 15238352",
  })
  void eachPartHasItsShare(String prefix, long tensors, long parameters) {
    assertEquals(
        tensors, SPEC.parameters().stream().filter(p -> p.name().startsWith(prefix)).count());
    assertEquals(parameters, elements(SPEC.parameters(), p -> p.name().startsWith(prefix)));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "vision_backbone.featurizer.cls_token | 1 1 1024",
        "vision_backbone.featurizer.reg_token | 1 4 1024",
        "vision_backbone.featurizer.pos_embed | 1 256 1024",
        "vision_backbone.featurizer.patch_embed.proj.weight | 1024 3 14 14",
        "vision_backbone.featurizer.blocks.23.attn.qkv.weight | 3072 1024",
        "vision_backbone.featurizer.blocks.0.ls1.scale_factor | 1024",
        "vision_backbone.featurizer.blocks.0.mlp.fc2.weight | 1024 4096",
        "vision_backbone.featurizer.norm.bias | 1024",
        "vision_backbone.fused_featurizer.pos_embed | 1 256 1152",
        "vision_backbone.fused_featurizer.blocks.26.mlp.fc1.bias | 4304",
        "vision_backbone.fused_featurizer.attn_pool.latent | 1 1 1152",
        "vision_backbone.fused_featurizer.attn_pool.kv.weight | 2304 1152",
        "projector.fc1.weight | 8704 2176",
        "projector.fc2.weight | 4096 8704",
        "language_model.model.embed_tokens.weight | 32064 4096",
        "language_model.model.layers.31.mlp.down_proj.weight | 4096 11008",
        "language_model.model.layers.31.post_attention_layernorm.weight | 4096",
        "language_model.lm_head.weight | 32064 4096",
      })
  void tensorsHaveTheCheckpointsNamesAndShapes(String name, String shape) {
    var expected = List.of(shape.split(" ")).stream().map(Long::valueOf).toList();
    assertEquals(
        List.of(expected),
        SPEC.parameters().stream()
            .filter(p -> p.name().equals(name))
            .map(ParameterSpec::shape)
            .toList());
  }

  @Test
  void namesAreUnique() {
    Set<String> names = new HashSet<>();
    SPEC.parameters().forEach(p -> assertTrue(names.add(p.name()), p.name()));
  }

  @Test
  void sigLipHasNeitherPrefixNorLayerScale() {
    assertTrue(
        SPEC.parameters().stream()
            .filter(p -> p.name().startsWith("vision_backbone.fused_featurizer."))
            .noneMatch(p -> p.name().matches(".*(cls_token|reg_token|\\.ls[12]\\.).*")));
  }

  @Test
  void loraHasThePublishedTensorsAndParameters() {
    List<LoraTarget> targets = SPEC.loraTargets();
    assertEquals(439, targets.size());
    List<ParameterSpec> tensors = lora(targets, t -> true);
    assertEquals(878, tensors.size());
    assertEquals(110_828_288L, elements(tensors, p -> true));
  }

  @ParameterizedTest
  @CsvSource({
    "language_model\\.model\\.layers\\.\\d+\\.self_attn\\.[qkvo]_proj, 128, 33554432",
    "language_model\\.model\\.layers\\.\\d+\\.mlp\\..*, 96, 46399488",
    "language_model\\.lm_head, 1, 1157120",
    "projector\\.fc[123], 3, 1019904",
    "vision_backbone\\.featurizer\\.blocks\\..*, 96, 12582912",
    "vision_backbone\\.featurizer\\.patch_embed\\.proj, 1, 51584",
    "vision_backbone\\.fused_featurizer\\.blocks\\..*, 108, 15399936",
    "vision_backbone\\.fused_featurizer\\.patch_embed\\.proj, 1, 55680",
    "vision_backbone\\.fused_featurizer\\.attn_pool\\..*, 5, 607232",
  })
  void loraPartsHaveTheirShare(String pattern, long modules, long parameters) {
    List<LoraTarget> part =
        SPEC.loraTargets().stream().filter(t -> t.module().matches(pattern)).toList();
    assertEquals(modules, part.size());
    assertEquals(parameters, elements(lora(part, t -> true), p -> true));
  }

  @Test
  void inactiveAdaptersAreThoseThePublicAuditFoundZero() {
    List<LoraTarget> targets = SPEC.loraTargets();
    assertEquals(426, targets.stream().filter(LoraTarget::active).count());
    assertEquals(109_126_400L, elements(lora(targets, LoraTarget::active), p -> true));
    Set<String> inactive =
        targets.stream()
            .filter(t -> !t.active())
            .map(t -> t.module().replaceFirst("\\.(attn\\.|mlp\\.|q$|kv$|proj$).*", ""))
            .collect(Collectors.toSet());
    assertEquals(
        Set.of(
            "vision_backbone.featurizer.blocks.23",
            "vision_backbone.fused_featurizer.blocks.26",
            "vision_backbone.fused_featurizer.attn_pool"),
        inactive);
  }

  @Test
  void patchEmbeddingAdaptersHaveConvolutionShapes() {
    LoraTarget patch =
        SPEC.loraTargets().stream()
            .filter(t -> t.module().equals("vision_backbone.featurizer.patch_embed.proj"))
            .findFirst()
            .orElseThrow();
    assertEquals(
        List.of(List.of(32L, 3L, 14L, 14L), List.of(1024L, 32L, 1L, 1L)),
        patch.parameters(32).stream().map(ParameterSpec::shape).toList());
  }

  @Test
  void targetModulesAreTheFifteenSuffixes() {
    assertEquals(
        new TreeSet<>(
            List.of(
                "qkv",
                "proj",
                "fc1",
                "fc2",
                "fc3",
                "q",
                "kv",
                "q_proj",
                "k_proj",
                "v_proj",
                "o_proj",
                "gate_proj",
                "up_proj",
                "down_proj",
                "lm_head")),
        SPEC.targetModules());
  }

  @Test
  void nanoHasTheSameStructure() {
    var nano = ModelSpec.of(OpenVlaConfig.nano());
    Set<String> kinds = kinds(nano);
    assertEquals(kinds(SPEC), kinds);
    long parameters = elements(nano.parameters(), p -> true);
    assertTrue(parameters > 2_000_000 && parameters < 6_000_000, "found " + parameters);
  }

  @Test
  void actionIdsEndWhereThePaddingBegins() {
    OpenVlaConfig config = OpenVlaConfig.openVla7b();
    assertEquals(31744, config.actionTokenBegin());
    assertEquals(32000, config.actionTokenEnd());
    assertEquals(256, config.imageTokens());
    assertEquals(768, OpenVlaConfig.nano().actionTokenBegin());
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "openvla", "NANO"})
  void unknownPresetNamesWhatThereIs(String name) {
    var e = assertThrows(IllegalArgumentException.class, () -> OpenVlaConfig.ofPreset(name));
    assertEquals(
        "preset must be openvla-7b, mid, nano or pico, found \"" + name + "\"", e.getMessage());
  }

  @Test
  void configurationErrorsShowBothValues() {
    var e =
        assertThrows(
            IllegalArgumentException.class, () -> VisionConfig.vit(225, 14, 64, 2, 4, 128));
    assertEquals("patchSize must divide imageSize 225, found 14", e.getMessage());
    e =
        assertThrows(
            IllegalArgumentException.class,
            () -> new LlamaConfig(192, 512, 2, 5, 1088, 512, 1e-6, 10000));
    assertEquals("heads must divide hiddenSize 192, found 5", e.getMessage());
    e =
        assertThrows(
            IllegalArgumentException.class,
            () -> TinyModels.with(OpenVlaConfig.nano(), 320, 64, 1e-6));
    assertEquals(
        "vocabularySize must exceed actionBins + vocabularyPadding = 320, found 320",
        e.getMessage());
  }

  private static Set<String> kinds(ModelSpec spec) {
    return spec.parameters().stream()
        .map(p -> p.name().replaceAll("\\d+\\.", "#."))
        .collect(Collectors.toSet());
  }

  private static List<ParameterSpec> lora(List<LoraTarget> targets, Predicate<LoraTarget> which) {
    return targets.stream().filter(which).flatMap(t -> t.parameters(32).stream()).toList();
  }

  private static long elements(List<ParameterSpec> specs, Predicate<ParameterSpec> which) {
    return specs.stream().filter(which).mapToLong(ParameterSpec::elements).sum();
  }
}
