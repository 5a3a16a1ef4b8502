package org.sightline.vla.data.rlds;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.vla.data.SharedData;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.loader.BatchIterator;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.data.loader.VlaData;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.HuggingFacePromptTokenizer;
import org.sightline.vla.data.text.PromptTokenizer;

/** The readers against 25 real episodes of BridgeData V2. */
class BridgeDataTest {
  private RldsDataset dataset;

  @BeforeEach
  void open() throws IOException {
    dataset = RldsDataset.open(SharedData.bridge());
  }

  @Test
  void episodesAreComplete() throws IOException {
    assertEquals("bridge_dataset", dataset.name());
    assertEquals(25, dataset.size());
    TreeSet<String> instructions = new TreeSet<>();
    try (EpisodeReader reader = dataset.reader()) {
      for (int e = 0; e < 25; e++) {
        List<Step> steps = reader.read(e).steps();
        assertEquals(10, steps.size());
        for (int i = 0; i < 10; i++) {
          Step step = steps.get(i);
          assertFalse(step.instruction().isBlank());
          instructions.add(step.instruction());
          assertEquals(7, step.state().length);
          assertEquals(i == 0, step.isFirst());
          assertFalse(step.isLast(), "the slice cuts longer episodes after ten steps");
          RgbImage image = ImageCodec.decode(step.image());
          assertEquals(64, image.width());
          assertEquals(64, image.height());
          assertTrue(spread(image) > 10, "episode " + e + " step " + i + ": " + spread(image));
        }
      }
    }
    assertEquals(
        List.of(
            "flip pot upright which is in sink",
            "put carrot on plate",
            "put cup from counter or drying rack into sink",
            "turn lever vertical to front"),
        List.copyOf(instructions));
  }

  /** Standard deviation of the green channel. */
  private static double spread(RgbImage image) {
    int[] green =
        IntStream.range(0, image.pixels().length / 3)
            .map(i -> image.pixels()[3 * i + 1] & 0xff)
            .toArray();
    double mean = Arrays.stream(green).average().orElseThrow();
    return Math.sqrt(
        Arrays.stream(green).mapToDouble(g -> (g - mean) * (g - mean)).average().orElseThrow());
  }

  @Test
  void theFourthCameraIsABlankPlaceholder() throws IOException {
    RldsDataset fourth =
        RldsDataset.open(SharedData.bridge(), "train", RldsKeys.BRIDGE.withCamera("image_3"));
    try (EpisodeReader reader = fourth.reader()) {
      assertEquals(0, spread(ImageCodec.decode(reader.read(0).steps().get(0).image())), 1e-9);
    }
  }

  @Test
  void aSplitWithoutShardsIsExplained() {
    DatasetFormatException e =
        assertThrows(
            DatasetFormatException.class,
            () -> RldsDataset.open(SharedData.bridge(), "val", RldsKeys.BRIDGE));
    assertTrue(
        e.getMessage()
            .endsWith(
                "bridge_dataset-val.tfrecord-00000-of-00001: shard is missing; dataset_info.json"
                    + " lists 1 for split 'val'"),
        e.getMessage());
  }

  /**
   * The actions cut out of the file with a few lines of Python, then {@code a.mean(0)}, {@code
   * a.std(0)} and {@code numpy.quantile(a, q, axis=0)} in float64.
   */
  @Test
  void statisticsAreNumpys() throws IOException {
    ActionStatistics s = DatasetScan.of(dataset).statistics(IntStream.range(0, 25).toArray());
    assertEquals(250, s.transitions());
    assertEquals(25, s.trajectories());
    assertArrayEquals(
        new double[] {
          0.0015924745923692777,
          -0.0009709779717120901,
          -0.0029354005311987724,
          -0.0099422544989769,
          -0.004845863615889495,
          -0.005331527182788733,
          0.7392009800672531
        },
        s.mean(),
        1e-15);
    assertArrayEquals(
        new double[] {
          0.005735056605539165,
          0.005613377986911584,
          0.008284885259178905,
          0.03634362041995069,
          0.02876848288915278,
          0.03626571477697997,
          0.43409921862710543
        },
        s.std(),
        1e-15);
    assertArrayEquals(
        new double[] {
          -0.016338490415364504,
          -0.020154471192508936,
          -0.018313939962536097,
          -0.13889830484986304,
          -0.09028631515800953,
          -0.19492752611637115,
          0.0
        },
        s.q01(),
        1e-15);
    assertArrayEquals(
        new double[] {
          0.016139604393392796,
          0.010305445594713086,
          0.026094982996582968,
          0.06832709059119224,
          0.061483266092836796,
          0.051642760001122945,
          1.0
        },
        s.q99(),
        1e-15);
    assertEquals(-0.2542690932750702, s.min()[5], 1e-15);
    assertEquals(0.03282411769032478, s.max()[2], 1e-15);
  }

  @Test
  void becomesBatches() throws IOException {
    try (PromptTokenizer tokenizer = HuggingFacePromptTokenizer.embedded()) {
      VlaData data =
          VlaData.of(
              dataset,
              tokenizer,
              new ActionTokenizer(1024, 256),
              new ImageTransform(56),
              0.2,
              16,
              1);
      assertEquals(5, data.split().eval().length);
      assertEquals(200, data.statistics().transitions());
      int batches = 0;
      try (BatchIterator iterator = data.train().epoch(0)) {
        while (iterator.hasNext()) {
          try (VlaBatch batch = iterator.next()) {
            assertEquals(16, batch.size());
            assertEquals(56, batch.pixelValues().size(3));
            batches++;
          }
        }
      }
      assertEquals(12, batches);
    }
  }
}
