package org.sightline.vla.tabletop;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntConsumer;
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
  /** No episode takes longer; a bound against a defect, not a limit on the data. */
  private static final int MAX_STEPS = 80;

  /**
   * What to generate.
   *
   * @param episodes number of episodes, about 20 steps each
   * @param shards number of TFRecord files
   * @param imageSize height and width in pixels
   * @param seed of everything
   */
  public record Options(int episodes, int shards, int imageSize, long seed) {
    public Options {
      RldsWriter.requireShards(episodes, shards);
      if (imageSize < 16 || imageSize > 1024) {
        throw new IllegalArgumentException(
            "imageSize: found " + imageSize + ", expected 16 to 1024 pixels");
      }
    }

    /** 40 episodes of 128×128 pixels in two files. */
    public static Options defaults() {
      return new Options(40, 2, 128, 0);
    }
  }

  private TabletopGenerator() {}

  /** Writes the dataset without reporting progress. */
  public static void generate(Path folder, Options options) throws IOException {
    generate(folder, options, done -> {});
  }

  /**
   * Writes the dataset.
   *
   * @param folder is created, or its dataset replaced
   * @param progress is told the number of finished episodes after each
   */
  public static void generate(Path folder, Options options, IntConsumer progress)
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
        writer.write(episode(sceneSeed(options.seed(), e), options.imageSize()));
        progress.accept(e + 1);
      }
    }
  }

  /** One episode of the scene with this seed, its frames rendered in parallel. */
  public static List<Step> episode(long sceneSeed, int imageSize) throws IOException {
    Scene scene = Scene.sample(sceneSeed);
    List<float[]> actions = solve(scene);
    List<TabletopEnvironment> moments = new ArrayList<>();
    for (int i = 0; i < actions.size(); i++) {
      // Environments are cheap to replay, so that every frame has its own and can be rendered
      // on its own thread.
      TabletopEnvironment moment = new TabletopEnvironment(scene);
      actions.subList(0, i).forEach(moment::step);
      moments.add(moment);
    }
    try {
      return IntStream.range(0, actions.size())
          .parallel()
          .mapToObj(i -> step(moments.get(i), actions, i, imageSize))
          .toList();
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  /** The expert's actions from start to end. */
  static List<float[]> solve(Scene scene) {
    TabletopEnvironment environment = new TabletopEnvironment(scene);
    List<float[]> actions = new ArrayList<>();
    while (!ScriptedExpert.isDone(environment)) {
      if (actions.size() == MAX_STEPS) {
        throw new IllegalStateException(
            "the expert did not finish '" + scene.instruction() + "' in " + MAX_STEPS + " steps");
      }
      float[] action = ScriptedExpert.act(environment);
      environment.step(action);
      actions.add(action);
    }
    return actions;
  }

  /** The seed of an episode's scene; neighbouring episodes share nothing. */
  static long sceneSeed(long seed, int episode) {
    return Seeds.mix(seed * Seeds.GOLDEN_RATIO + episode + 1);
  }

  private static Step step(
      TabletopEnvironment moment, List<float[]> actions, int index, int imageSize) {
    boolean last = index == actions.size() - 1;
    byte[] image;
    try {
      image = ImageCodec.encodeJpeg(moment.render(imageSize), 0.92f);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return new Step(
        new Step.Origin(Path.of("generated"), 0, 0, index),
        image,
        actions.get(index),
        moment.state(),
        moment.scene().instruction(),
        index == 0,
        last,
        last,
        last ? 1 : 0,
        1);
  }
}
