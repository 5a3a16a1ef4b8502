package org.sightline.vla.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.DType;
import org.sightline.Sightline;
import org.sightline.vla.checkpoint.HuggingFaceCheckpoint;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.DatasetScan;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.RldsKeys;
import org.sightline.vla.data.rlds.StatisticsJson;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.model.OpenVlaConfig;
import org.sightline.vla.model.Weights;
import org.sightline.vla.policy.Action;
import org.sightline.vla.tabletop.TabletopGenerator;

/** Models that say words where actions belong: counted, never taken for the ends of the range. */
class NoActionTokensTest {
  @TempDir private Path folder;

  @Test
  void theDimensionsWithoutAnActionAreNamed() {
    ActionTokenizer actions = new ActionTokenizer(1024, 256);
    long[] ids = {768, 767, 1023, 1024, 0, 900, 1087};
    double[] ones = {1, 1, 1, 1, 1, 1, 1};
    ActionStatistics scales =
        new ActionStatistics(ones, ones, ones, ones, ones, ones, new boolean[7], 1, 1);
    assertEquals(
        List.of("y", "roll", "pitch", "gripper"), Action.of(ids, actions, scales).unsaid());
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> Action.of(new long[] {1, 2, 3, 4, 5, 6, 767}, actions, scales));
    assertTrue(
        e.getMessage().contains("[1, 2, 3, 4, 5, 6, 767], expected ids from 768 to 1023"),
        e.getMessage());
  }

  /** Every logit is 0, so the first word of the vocabulary is said. */
  @Test
  void aModelThatSaysNoActionActsNotAtAll() throws IOException {
    Sightline.load();
    OpenVlaConfig nano = OpenVlaConfig.nano();
    Weights random = Weights.random(nano, 7);
    Path base = folder.resolve("base");
    HuggingFaceCheckpoint.write(
        base,
        nano,
        spec -> {
          Tensor weight = random.get(spec);
          return spec.name().endsWith("lm_head.weight") ? torch.zeros_like(weight) : weight;
        },
        DType.FLOAT32,
        1L << 30);
    Path data = folder.resolve("data");
    TabletopGenerator.generate(data, new TabletopGenerator.Options(2, 1, 64, 3));
    RldsDataset dataset = RldsDataset.open(data, "train", RldsKeys.BRIDGE);
    Path statistics = folder.resolve("dataset_statistics.json");
    StatisticsJson.write(
        statistics, Map.of("tabletop", DatasetScan.of(dataset).statistics(new int[] {0, 1})));
    Path image = folder.resolve("image.png");
    try (EpisodeReader reader = dataset.reader()) {
      Files.write(image, reader.read(0).steps().get(0).image());
    }
    String policy = " --weights %s --statistics %s".formatted(base, statistics);
    Cli acted = Cli.run("act --instruction go --image " + image + policy);
    assertEquals(2, acted.exitCode(), acted.out());
    assertEquals("", acted.out());
    assertTrue(acted.err().contains("found the tokens [0, 0, 0, 0, 0, 0, 0]"), acted.err());

    JsonObject measured = Cli.run("eval --json --data " + data + policy).json();
    long tokens = 7 * measured.get("steps").getAsLong();
    assertEquals(tokens, measured.get("action_tokens").getAsLong());
    assertEquals(tokens, measured.get("no_action_tokens").getAsLong());
    String text = Cli.succeed("eval --data " + data + policy).out();
    assertTrue(text.contains("no action       %d of %d tokens".formatted(tokens, tokens)), text);
  }
}
