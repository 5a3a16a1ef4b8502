package org.sightline.vla.finetune;

import com.google.gson.Gson;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.FolderLock;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.Lanczos3;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.loader.VlaBatch;
import org.sightline.vla.data.loader.VlaData;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.EpisodeReader;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.model.OpenVla;

/**
 * A few frames of a job's episodes, with the action that was recorded and the one that the model
 * takes when it is asked as by a robot; the same frames in every mode. They stay in the mode's
 * folder, for reports that are made without the model.
 */
public final class ExampleFrames {
  public static final String NO_ACTION = "no action";

  /** Of the episodes held out, and of those trained on. */
  private static final int EACH = 4;

  private static final int SIDE = 192;
  private static final float QUALITY = 0.85f;
  private static final String NAME = "frames.json";

  /**
   * @param jpeg base64
   * @param recorded in the data's units, with the decimals that tell action tokens apart
   * @param predicted the same; {@link #NO_ACTION} where the model said another token
   */
  public record Frame(
      String dataset,
      int episode,
      int step,
      boolean heldOut,
      String instruction,
      String jpeg,
      List<String> recorded,
      List<String> predicted) {
    boolean isOf(Frame other) {
      return episode == other.episode && step == other.step && dataset.equals(other.dataset);
    }
  }

  private record Episode(VlaData.Part part, int number) {}

  private final OpenVla model;
  private final VlaData data;
  private final Random random;

  private ExampleFrames(OpenVla model, VlaData data, long seed) {
    this.model = model;
    this.data = data;
    this.random = new Random(seed);
  }

  /** The frames that a mode left in its folder; none if it left none. */
  public static List<Frame> read(Path folder) throws IOException {
    List<Frame> frames = new ArrayList<>();
    if (InputFile.exists(folder.resolve(NAME))) {
      for (JsonFields frame : JsonFields.read(folder.resolve(NAME)).objects("frames")) {
        frames.add(
            new Frame(
                frame.text("dataset"),
                frame.integer("episode"),
                frame.integer("step"),
                frame.bool("heldOut"),
                frame.text("instruction"),
                frame.text("jpeg"),
                frame.strings("recorded"),
                frame.strings("predicted")));
      }
    }
    return frames;
  }

  /**
   * Draws frames and asks the model, which is in evaluation mode afterwards.
   *
   * @param lock that must be held when they are written
   * @throws IOException if the file cannot be written
   */
  static void write(Path folder, OpenVla model, VlaData data, long seed, FolderLock lock)
      throws IOException {
    model.train(false);
    ExampleFrames examples = new ExampleFrames(model, data, seed);
    List<Frame> frames = new ArrayList<>(examples.draw(true));
    frames.addAll(examples.draw(false));
    String json = new Gson().toJson(Map.of("frames", frames));
    lock.requireHeld();
    AtomicFile.writeText(folder.resolve(NAME), json + "\n");
  }

  private List<Frame> draw(boolean heldOut) {
    List<Episode> episodes = new ArrayList<>();
    for (VlaData.Part part : data.parts()) {
      int[] numbers = heldOut ? part.split().eval() : part.split().train();
      Arrays.stream(numbers).forEach(number -> episodes.add(new Episode(part, number)));
    }
    Collections.shuffle(episodes, random);
    return episodes.stream()
        .map(episode -> frame(episode, heldOut))
        .flatMap(Optional::stream)
        .limit(EACH)
        .toList();
  }

  /** A frame of an episode; none if it has none, or cannot be read and the run did not need it. */
  private Optional<Frame> frame(Episode episode, boolean heldOut) {
    RldsDataset dataset = episode.part().dataset();
    try (EpisodeReader reader = dataset.reader()) {
      List<Step> steps = reader.read(episode.number()).steps();
      if (steps.isEmpty()) {
        return Optional.empty();
      }
      Step step = steps.get(random.nextInt(steps.size()));
      ActionStatistics statistics = episode.part().statistics();
      return Optional.of(
          new Frame(
              dataset.name(),
              episode.number(),
              step.origin().step(),
              heldOut,
              step.instruction(),
              thumbnail(step.image()),
              rounded(step.action(), statistics, data.batcher().actions().bins()),
              said(step, statistics)));
    } catch (IOException | LinkageError e) { // The JDK may lack the library that encodes JPEG.
      return Optional.empty();
    }
  }

  private static String thumbnail(byte[] encoded) throws IOException {
    RgbImage image = ImageCodec.decode(encoded);
    double scale = Math.min(1, (double) SIDE / Math.max(image.width(), image.height()));
    int width = Math.max(1, (int) Math.round(image.width() * scale));
    int height = Math.max(1, (int) Math.round(image.height() * scale));
    RgbImage small = Lanczos3.resize(image, width, height);
    return Base64.getEncoder().encodeToString(ImageCodec.encodeJpeg(small, QUALITY));
  }

  private List<String> said(Step step, ActionStatistics statistics) throws IOException {
    ActionTokenizer actions = data.batcher().actions();
    long[] ids;
    try (PointerScope scope = new PointerScope();
        VlaBatch batch = data.batcher().batch(List.of(step))) {
      long answer = Step.ACTION_SIZE + 1; // And EOS, both behind the prompt.
      Tensor prompt = batch.inputIds().narrow(1, 0, batch.inputIds().size(1) - answer);
      ids = model.generate(batch.pixelValues(), prompt, Step.ACTION_SIZE)[0];
    }
    List<String> said =
        new ArrayList<>(
            rounded(statistics.denormalize(actions.decode(ids)), statistics, actions.bins()));
    for (int d = 0; d < ids.length; d++) {
      if (!actions.isAction(ids[d])) {
        said.set(d, NO_ACTION);
      }
    }
    return said;
  }

  private static List<String> rounded(float[] action, ActionStatistics statistics, int bins) {
    float[] low = new float[action.length];
    float[] high = new float[action.length];
    Arrays.fill(low, -1);
    Arrays.fill(high, 1);
    low = statistics.denormalize(low);
    high = statistics.denormalize(high);
    List<String> values = new ArrayList<>();
    for (int d = 0; d < action.length; d++) {
      // A dimension that never changed has one token alone.
      double width = high[d] > low[d] ? high[d] - low[d] : Math.abs(action[d]);
      int decimals = Figures.decimals(width / bins);
      values.add(Figures.rounded(action[d], decimals).toPlainString());
    }
    return values;
  }
}
