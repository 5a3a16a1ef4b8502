package org.sightline.formats.peft;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.LoraConfig;
import org.sightline.LoraInit;

/**
 * Which modules PEFT's configuration reaches, with which rank and alpha: cases of its own rules.
 */
class PeftTargetsTest {
  private static final String Q3 = "language_model.model.layers.3.self_attn.q_proj";
  private static final String BLOCK3 = "vision_backbone.featurizer.blocks.3.attn.proj";

  @TempDir Path folder;

  /** As {@code json} says, read back from a file with an adapter of {@code module}. */
  private PeftConfig read(String json) throws IOException {
    Path file = folder.resolve("adapter_config.json");
    Files.writeString(file, "{\"peft_type\": \"LORA\", " + json.replace('\'', '"') + "}");
    return PeftConfigReader.read(file, List.of("x.q_proj"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '~',
      quoteCharacter = '`',
      value = {
        "'target_modules': ['q_proj']                    ~ true  ~ false",
        "'target_modules': ['self_attn.q_proj', 'proj']  ~ true  ~ true",
        "'target_modules': ['_proj']                     ~ false ~ false",
        "'target_modules': ['attn.proj']                 ~ false ~ true",
        "'target_modules': ['" + Q3 + "']                ~ true  ~ false",
        "'target_modules': '.*_proj'                     ~ true  ~ false",
        "'target_modules': 'proj'                        ~ false ~ false",
        "'target_modules': '(?P<any>.*)proj'             ~ true  ~ true",
        "'target_modules': 'ALL-linear'                  ~ true  ~ true",
        "'target_modules': ['proj'], 'exclude_modules': ['blocks.3.attn.proj'] ~ false ~ false",
        "'target_modules': 'all-linear', 'exclude_modules': 'vision_backbone.*' ~ true ~ false",
        "'target_modules': 'all-linear', 'exclude_modules': 'vision_backbone' ~ true ~ true",
        "'target_modules': ['q_proj', 'proj'], 'layers_to_transform': 3       ~ true ~ true",
        "'target_modules': ['q_proj', 'proj'], 'layers_to_transform': [0, 2]  ~ false ~ false",
        "'target_modules': ['q_proj', 'proj'], 'layers_to_transform': [3], 'layers_pattern': 'layers'"
            + " ~ true ~ false",
        "'target_modules': ['q_proj', 'proj'], 'layers_to_transform': [3],"
            + " 'layers_pattern': ['h', 'blocks'] ~ false ~ true",
        "'target_modules': '.*proj', 'layers_to_transform': [0]               ~ true ~ true",
        "'target_modules': null                          ~ true  ~ false",
      })
  void reaches(String json, boolean q3, boolean block3) throws IOException {
    PeftTargets targets = read(json).targets();
    assertEquals(q3, targets.matches(Q3), Q3);
    assertEquals(block3, targets.matches(BLOCK3), BLOCK3);
  }

  @Test
  void layersAreOnlyCountedInsideSomething() throws IOException {
    PeftTargets targets = read("'target_modules': ['fc1'], 'layers_to_transform': [1]").targets();
    assertEquals(false, targets.matches("projector.fc1"));
    assertEquals(true, targets.matches("tower.blocks.1.mlp.fc1"));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '~',
      quoteCharacter = '`',
      value = {
        "'rank_pattern': {'q_proj': 4}                                ~ 4 ~ 16",
        "'rank_pattern': {'proj': 4}                                  ~ 8 ~ 16",
        "'rank_pattern': {'.*proj': 4}                                ~ 4 ~ 16",
        "'rank_pattern': {'self_attn.q_proj': 4, 'q_proj': 2}         ~ 4 ~ 16",
        "'rank_pattern': {'q_proj': 2, 'self_attn.q_proj': 4}         ~ 2 ~ 16",
        "'rank_pattern': {'^" + Q3 + "': 5}                           ~ 5 ~ 16",
        "'rank_pattern': {'^q_proj': 5}                               ~ 8 ~ 16",
        "'rank_pattern': {'k_proj|q_proj': 3}                         ~ 3 ~ 16",
        "'rank_pattern': {'layers.3': 3}                              ~ 8 ~ 16",
        "'rank_pattern': {'layers.[0-4].self_attn.[qk]_proj': 3}      ~ 3 ~ 16",
        "'alpha_pattern': {'q_proj': 2.5}                             ~ 8 ~ 2.5",
        "'rank_pattern': {'q_proj': 2}, 'alpha_pattern': {'.*_proj': 6} ~ 2 ~ 6",
      })
  void patternsGiveRankAndAlpha(String json, int rank, double alpha) throws IOException {
    for (boolean stabilised : new boolean[] {false, true}) {
      PeftConfig config =
          read("'lora_alpha': 16, 'use_rslora': " + stabilised + ", 'lora_dropout': 0.1, " + json);
      LoraConfig found = config.loraOf(Q3);
      assertEquals(new LoraConfig(rank, alpha, 0.1, stabilised, LoraInit.KAIMING_UNIFORM), found);
      assertEquals(alpha / (stabilised ? Math.sqrt(rank) : rank), found.scale());
      assertEquals(8, config.loraOf("other.k").rank());
    }
  }

  @ParameterizedTest
  @CsvSource({"true", "false", "'\"orthogonal\"'", "'\"eva\"'"})
  void initialValuesOfATrainedAdapterDoNotMatter(String init) throws IOException {
    assertEquals(LoraInit.KAIMING_UNIFORM, read("'init_lora_weights': " + init).lora().init());
  }

  /** Everything at once, written, read, and the same again. */
  @Test
  void patternsAndExclusionsAreWrittenAsPeftHasThem() throws IOException {
    Map<String, Integer> ranks = new LinkedHashMap<>();
    ranks.put("k_proj", 3);
    ranks.put("layers.0.self_attn.q_proj", 1);
    PeftTargets targets =
        new PeftTargets(
            new ModuleFilter.Names(List.of("q_proj", "k_proj", "proj")),
            new ModuleFilter.Regex("vision.*"),
            List.of(0, 1),
            List.of("layers"));
    PeftConfig config =
        new PeftConfig(
            new LoraConfig(2, 8, 0, true, LoraInit.GAUSSIAN),
            targets,
            ranks,
            Map.of("k_proj", 12.5),
            "base",
            null);
    Map<String, LoraPair> adapters = new LinkedHashMap<>();
    String layers = "language_model.model.layers.";
    adapters.put(layers + "0.self_attn.q_proj", pair(1));
    adapters.put(layers + "1.self_attn.q_proj", pair(2));
    adapters.put(layers + "0.self_attn.k_proj", pair(3));
    new PeftAdapter(config, adapters).write(folder);
    JsonObject json =
        JsonParser.parseString(Files.readString(folder.resolve("adapter_config.json")))
            .getAsJsonObject();
    assertEquals(
        "{\"k_proj\":3,\"layers.0.self_attn.q_proj\":1}", json.get("rank_pattern").toString());
    assertEquals("{\"k_proj\":12.5}", json.get("alpha_pattern").toString());
    assertEquals("\"vision.*\"", json.get("exclude_modules").toString());
    assertEquals("[\"q_proj\",\"k_proj\",\"proj\"]", json.get("target_modules").toString());
    assertEquals("[0,1]", json.get("layers_to_transform").toString());
    assertEquals("[\"layers\"]", json.get("layers_pattern").toString());
    try (PeftAdapter read = PeftAdapter.read(folder)) {
      assertEquals(config, read.config());
      adapters.forEach(
          (module, pair) -> assertTrue(pair.a().equal(read.adapters().get(module).a()), module));
    }
  }

  @Test
  void pairsMustHaveTheRankOfTheirModuleAndBeTargets() {
    PeftConfig config =
        new PeftConfig(
            LoraConfig.of(2, 8),
            PeftTargets.of(List.of("q_proj")).without(new ModuleFilter.Names(List.of("b.q_proj"))),
            Map.of("a.q_proj", 4),
            Map.of(),
            null,
            null);
    assertMessage(config, "x.a.q_proj", pair(2), "expected [4, in] and [out, 4]");
    assertMessage(config, "x.b.q_proj", pair(2), "found a module that is no target");
    assertMessage(config, "x.k_proj", pair(2), "found a module that is no target");
    new PeftAdapter(config, Map.of("x.a.q_proj", pair(4), "x.q_proj", pair(2)));
  }

  private static void assertMessage(PeftConfig config, String module, LoraPair pair, String text) {
    var e =
        assertThrows(
            IllegalArgumentException.class, () -> new PeftAdapter(config, Map.of(module, pair)));
    assertTrue(
        e.getMessage().startsWith("adapter of '" + module) && e.getMessage().contains(text),
        e.getMessage());
  }

  private static LoraPair pair(int rank) {
    return new LoraPair(torch.randn(rank, 3), torch.randn(4, rank));
  }
}
