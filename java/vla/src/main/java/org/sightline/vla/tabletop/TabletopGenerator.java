package org.sightline.vla.tabletop;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.function.IntConsumer;
import java.util.function.LongFunction;
import java.util.stream.IntStream;
import org.sightline.Seeds;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.rlds.RldsWriter;
import org.sightline.vla.data.rlds.Step;

/**
 * Writes a dataset of scripted pick-and-place episodes as an RLDS folder with BridgeData's feature
 * names: the data that Sightline trains on when none is given. The same options give the same
 * scenes, actions and pixels; JPEG bytes also depend on the JDK's encoder.
 */
public final class TabletopGenerator {
  /**
   * What to generate.
   *
   * @param episodes number of episodes, about 20 steps each
   * @param shards number of TFRecord files
   * @param imageSize height and width in pixels
   * @param seed of everything
   * @param noise of the hand, see {@link Demonstration#of}
   */
  public record Options(int episodes, int shards, int imageSize, long seed, double noise) {
    public Options {
      RldsWriter.requireShards(episodes, shards);
      if (imageSize < 16 || imageSize > 1024) {
        throw new IllegalArgumentException(
            "imageSize: found " + imageSize + ", expected 16 to 1024 pixels");
      }
    }

    /** With a steady hand. */
    public Options(int episodes, int shards, int imageSize, long seed) {
      this(episodes, shards, imageSize, seed, 0);
    }

    /** 40 episodes of 128×128 pixels in two files. */
    public static Options defaults() {
      return new Options(40, 2, 128, 0);
    }
  }

  private TabletopGenerator() {}

  /** Writes a dataset of {@link Scene#sample} scenes without reporting progress. */
  public static void generate(Path folder, Options options) throws IOException {
    generate(folder, options, Scene::sample, done -> {});
  }

  /**
   * Writes the dataset.
   *
   * @param folder is created, or its dataset replaced
   * @param scenes gives the scene of a seed
   * @param progress is told the number of finished episodes after each
   */
  public static void generate(
      Path folder, Options options, LongFunction<Scene> scenes, IntConsumer progress)
      throws IOException {
    RldsWriter.Layout layout =
        new RldsWriter.Layout(
            "sightline_tabletop",
            "Rendered tabletop pick-and-place episodes of a scripted expert.",
            options.episodes(),
            options.shards(),
            options.imageSize(),
            options.imageSize(),
            Step.ACTION_SIZE);
    try (RldsWriter writer = new RldsWriter(folder, layout)) {
      for (int e = 0; e < options.episodes(); e++) {
        long seed = sceneSeed(options.seed(), e);
        var episode = Demonstration.of(scenes.apply(seed), options.noise(), seed);
        writer.write(episode(episode, options.imageSize()));
        progress.accept(e + 1);
      }
    }
  }

  /** One episode of a scene, its frames rendered in parallel. */
  public static List<Step> episode(Demonstration demonstration, int imageSize) throws IOException {
    try {
      return IntStream.range(0, demonstration.actions().size())
          .parallel()
          .mapToObj(i -> step(demonstration, i, imageSize))
          .toList();
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  /** The seed of an episode's scene; neighbouring episodes share nothing. */
  static long sceneSeed(long seed, int episode) {
    return Seeds.mix(seed * Seeds.GOLDEN_RATIO + episode + 1);
  }

  private static Step step(Demonstration demonstration, int index, int imageSize) {
    TabletopEnvironment moment = demonstration.moments().get(index);
    boolean last = index == demonstration.actions().size() - 1;
    byte[] image;
    try {
      image = ImageCodec.encodeJpeg(moment.render(imageSize), 0.92f);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return new Step(
        new Step.Origin(Path.of("generated"), 0, 0, index),
        image,
        demonstration.actions().get(index),
        moment.state(),
        moment.scene().instruction(),
        index == 0,
        last,
        last,
        last ? 1 : 0,
        1);
  }
}
