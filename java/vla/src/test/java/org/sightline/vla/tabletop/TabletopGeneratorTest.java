package org.sightline.vla.tabletop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.DatasetScan;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.HuggingFacePromptTokenizer;
import org.sightline.vla.data.text.Prompt;
import org.sightline.vla.data.text.PromptTokenizer;

class TabletopGeneratorTest {
  private static final TabletopGenerator.Options SMALL = new TabletopGenerator.Options(4, 2, 48, 7);

  @TempDir Path folder;

  @Test
  void writesADatasetThatReadsBack() throws IOException {
    List<Integer> progress = new ArrayList<>();
    TabletopGenerator.generate(folder, SMALL, Scene::sample, progress::add);
    assertEquals(List.of(1, 2, 3, 4), progress);
    RldsDataset dataset = RldsDataset.open(folder);
    assertEquals("sightline_tabletop", dataset.name());
    assertEquals(4, dataset.size());
    assertTrue(Files.exists(folder.resolve("sightline_tabletop-train.tfrecord-00001-of-00002")));
    try (EpisodeReader reader = dataset.reader()) {
      for (int e = 0; e < 4; e++) {
        Scene scene = Scene.sample(TabletopGenerator.sceneSeed(7, e));
        TabletopEnvironment environment = new TabletopEnvironment(scene);
        List<Step> steps = reader.read(e).steps();
        for (int i = 0; i < steps.size(); i++) {
          Step step = steps.get(i);
          assertEquals(scene.instruction(), step.instruction());
          assertArrayEquals(environment.state(), step.state(), "state before the action");
          assertClose(environment.render(48), ImageCodec.decode(step.image()));
          assertEquals(i == 0, step.isFirst());
          assertEquals(i == steps.size() - 1, step.isLast());
          assertEquals(i == steps.size() - 1 ? 1f : 0f, step.reward());
          environment.step(step.action());
        }
        assertTrue(environment.isSuccess(), "the stored actions solve the stored scene");
      }
    }
  }

  /** JPEG blurs colour edges, so compare the mean error. */
  private static void assertClose(RgbImage expected, RgbImage actual) {
    assertEquals(expected.width(), actual.width());
    double sum = 0;
    for (int i = 0; i < expected.pixels().length; i++) {
      sum += Math.abs((expected.pixels()[i] & 0xff) - (actual.pixels()[i] & 0xff));
    }
    assertTrue(sum / expected.pixels().length < 6, "mean error " + sum / actual.pixels().length);
  }

  @Test
  void theSameSeedGivesTheSameBytes() throws IOException {
    Path a = folder.resolve("a");
    Path b = folder.resolve("b");
    Path c = folder.resolve("c");
    TabletopGenerator.generate(a, SMALL);
    TabletopGenerator.generate(b, SMALL);
    TabletopGenerator.generate(c, new TabletopGenerator.Options(4, 2, 48, 8));
    try (var files = Files.list(a)) {
      for (Path file : files.toList()) {
        assertEquals(-1, Files.mismatch(file, b.resolve(file.getFileName())), file.toString());
        if (file.toString().contains("tfrecord")) {
          assertNotEquals(-1, Files.mismatch(file, c.resolve(file.getFileName())));
        }
      }
    }
  }

  /** A dimension that never changes would teach nothing. */
  @Test
  void everyActionDimensionVaries() throws IOException {
    TabletopGenerator.generate(folder, new TabletopGenerator.Options(12, 1, 16, 1));
    RldsDataset dataset = RldsDataset.open(folder);
    ActionStatistics statistics =
        DatasetScan.of(dataset).statistics(IntStream.range(0, dataset.size()).toArray());
    for (int d = 0; d < 7; d++) {
      assertTrue(statistics.q01()[d] < statistics.q99()[d], "dimension " + d);
      assertTrue(statistics.std()[d] > 1e-3, "dimension " + d + ": " + statistics.std()[d]);
    }
    assertTrue(statistics.transitions() > 12 * 12 && statistics.transitions() < 12 * 28);
  }

  @Test
  void theEmbeddedTokenizerKnowsTheWords() throws IOException {
    try (PromptTokenizer tokenizer = HuggingFacePromptTokenizer.embedded()) {
      for (int seed = 0; seed < 300; seed++) {
        String instruction = Scene.sample(seed).instruction();
        int words = instruction.split(" ").length;
        long[] ids = Prompt.ids(tokenizer, instruction);
        // BOS, 8 words and a colon; one id a word; "?", newline, "Out", ":" and the word start.
        assertEquals(1 + 9 + words + 5, ids.length, instruction);
      }
    }
  }

  @Test
  void wrongOptionsAreExplained() {
    assertEquals(
        "imageSize: found 8, expected 16 to 1024 pixels",
        assertThrows(
                IllegalArgumentException.class, () -> new TabletopGenerator.Options(1, 1, 8, 0))
            .getMessage());
    assertThrows(IllegalArgumentException.class, () -> new TabletopGenerator.Options(0, 1, 64, 0));
    assertEquals(
        "found 2 episodes and 3 shards, expected at least 1 of each and no more shards than"
            + " episodes",
        assertThrows(
                IllegalArgumentException.class, () -> new TabletopGenerator.Options(2, 3, 64, 0))
            .getMessage());
  }
}
