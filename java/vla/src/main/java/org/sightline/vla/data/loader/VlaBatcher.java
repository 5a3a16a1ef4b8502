package org.sightline.vla.data.loader;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.tfrecord.CorruptRecordException;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.ImageKey;
import org.sightline.vla.data.image.ImageTransform;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.ActionStatistics;
import org.sightline.vla.data.rlds.Step;
import org.sightline.vla.data.text.ActionTokenizer;
import org.sightline.vla.data.text.Prompt;
import org.sightline.vla.data.text.PromptTokenizer;

/**
 * Collates steps into a {@link VlaBatch}. One row is
 *
 * <pre>
 * ids     BOS prompt… ▁  a1 … a7 EOS  PAD…
 * mask     1    1     1   1 … 1   1    0
 * labels  -100 -100 -100 a1 … a7 EOS -100
 * </pre>
 *
 * with {@link Prompt} and {@link ActionTokenizer} of the normalised action. Labels are not shifted:
 * the model inserts its image tokens behind BOS and shifts by one itself.
 */
public final class VlaBatcher {
  /** The label of positions without supervision. */
  public static final long IGNORED = -100;

  private final PromptTokenizer tokenizer;
  private final ActionTokenizer actions;
  private final ActionStatistics statistics;
  private final ImageTransform images;

  /**
   * A batcher.
   *
   * @param tokenizer stays owned by the caller, and must stay open
   * @param actions the action ids; must not reach into the tokenizer's special tokens
   * @param statistics normalise the actions of single steps, where a {@link VlaDataLoader} has its
   *     own for each dataset; of 7 dimensions
   * @param images resizes and normalises the camera image
   */
  public VlaBatcher(
      PromptTokenizer tokenizer,
      ActionTokenizer actions,
      ActionStatistics statistics,
      ImageTransform images) {
    if (statistics.size() != Step.ACTION_SIZE) {
      throw new IllegalArgumentException(
          "statistics: found " + statistics.size() + " dimensions, expected " + Step.ACTION_SIZE);
    }
    for (long special : new long[] {tokenizer.bosId(), tokenizer.eosId(), tokenizer.padId()}) {
      if (actions.isAction(special)) {
        throw new IllegalArgumentException(
            ("actions: found ids %s to %s, expected none of the tokenizer's special ids, but"
                    + " %s is one")
                .formatted(actions.firstId(), actions.lastId(), special));
      }
    }
    this.tokenizer = tokenizer;
    this.actions = actions;
    this.statistics = statistics;
    this.images = images;
  }

  /** The statistics that normalise single steps. */
  public ActionStatistics statistics() {
    return statistics;
  }

  /** The action ids. */
  public ActionTokenizer actions() {
    return actions;
  }

  /** From camera images to pixel values. */
  public ImageTransform images() {
    return images;
  }

  /**
   * Collates at least one step, as evaluation sees it. The batch belongs to the caller alone: it is
   * not attached to any open {@code PointerScope} and lives until it is closed. It has no {@link
   * VlaBatch#images image keys}.
   *
   * @throws DatasetFormatException if an image cannot be decoded; the message names file, record
   *     and step
   */
  public VlaBatch batch(List<Step> steps) throws IOException {
    if (steps.isEmpty()) {
      throw new IllegalArgumentException("steps: found none, expected at least 1");
    }
    float[] pixels = new float[Math.multiplyExact(steps.size(), images.length())];
    for (int i = 0; i < steps.size(); i++) {
      images.apply(decode(steps.get(i)), pixels, i * images.length());
    }
    List<ActionStatistics> norms = Collections.nCopies(steps.size(), statistics);
    return collate(steps, norms, pixels, List.of());
  }

  /** Writes the pixels of a sample's view. */
  void decode(Sample sample, VlaDataLoader.Options options, float[] pixels, int offset)
      throws IOException {
    RgbImage image = decode(sample.step());
    if (augments(options)) {
      long view = sample.view(options.views());
      images.applyAugmented(image, sample.augmentationKey(options.seed(), view), pixels, offset);
    } else {
      images.apply(image, pixels, offset);
    }
  }

  /** Collates samples whose pixels are there, each normalised by its own dataset's statistics. */
  VlaBatch collate(List<Sample> samples, VlaDataLoader.Options options, float[] pixels) {
    List<Step> steps = new ArrayList<>(samples.size());
    List<ActionStatistics> norms = new ArrayList<>(samples.size());
    List<ImageKey> keys = new ArrayList<>(samples.size());
    for (Sample sample : samples) {
      steps.add(sample.step());
      norms.add(sample.set().statistics());
      keys.add(
          sample.imageKey(augments(options) ? sample.view(options.views()) : Sample.EVALUATION));
    }
    return collate(steps, norms, pixels, keys);
  }

  private boolean augments(VlaDataLoader.Options options) {
    return options.augmented() && images.augmentation() != null;
  }

  private VlaBatch collate(
      List<Step> steps, List<ActionStatistics> norms, float[] pixels, List<ImageKey> keys) {
    int size = steps.size();
    float[] targets = new float[size * Step.ACTION_SIZE];
    List<long[]> prompts = new ArrayList<>(size);
    int longest = 0;
    for (int i = 0; i < size; i++) {
      float[] normalized = norms.get(i).normalize(steps.get(i).action());
      System.arraycopy(normalized, 0, targets, i * Step.ACTION_SIZE, Step.ACTION_SIZE);
      prompts.add(Prompt.ids(tokenizer, steps.get(i).instruction()));
      longest = Math.max(longest, prompts.get(i).length);
    }
    int width = longest + Step.ACTION_SIZE + 1;
    long[] ids = new long[size * width];
    long[] mask = new long[size * width];
    long[] labels = new long[size * width];
    Arrays.fill(ids, tokenizer.padId());
    Arrays.fill(labels, IGNORED);
    for (int i = 0; i < size; i++) {
      long[] prompt = prompts.get(i);
      int start = i * width;
      int at = start + prompt.length;
      System.arraycopy(prompt, 0, ids, start, prompt.length);
      for (int k = 0; k < Step.ACTION_SIZE; k++, at++) {
        ids[at] = actions.encode(targets[i * Step.ACTION_SIZE + k]);
        labels[at] = ids[at];
      }
      ids[at] = tokenizer.eosId();
      labels[at] = ids[at];
      Arrays.fill(mask, start, at + 1, 1L);
    }
    int used = Math.multiplyExact(size, images.length());
    float[] all = pixels.length == used ? pixels : Arrays.copyOf(pixels, used);
    try (PointerScope scope = new PointerScope()) {
      Tensor pixelValues =
          Tensor.create(all, size, ImageTransform.CHANNELS, images.size(), images.size());
      Tensor inputIds = Tensor.create(ids, size, width);
      Tensor attentionMask = Tensor.create(mask, size, width);
      Tensor labelIds = Tensor.create(labels, size, width);
      Tensor actionValues = Tensor.create(targets, size, Step.ACTION_SIZE);
      for (Tensor tensor : List.of(pixelValues, inputIds, attentionMask, labelIds, actionValues)) {
        tensor.retainReference(); // The scope's own reference goes with detach.
        scope.detach(tensor);
      }
      return new VlaBatch(pixelValues, inputIds, attentionMask, labelIds, actionValues, keys);
    }
  }

  private static RgbImage decode(Step step) throws IOException {
    try {
      return ImageCodec.decode(step.image());
    } catch (DatasetFormatException e) {
      Step.Origin origin = step.origin();
      throw new CorruptRecordException(
          origin.file(),
          origin.record(),
          origin.offset(),
          ", step " + origin.step() + ", image: " + e.getMessage());
    }
  }
}
