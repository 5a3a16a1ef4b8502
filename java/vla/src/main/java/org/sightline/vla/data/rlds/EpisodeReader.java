package org.sightline.vla.data.rlds;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.sightline.formats.tfrecord.CorruptRecordException;
import org.sightline.formats.tfrecord.DatasetFormatException;
import org.sightline.formats.tfrecord.TfExample;
import org.sightline.formats.tfrecord.TfFeature;
import org.sightline.formats.tfrecord.TfRecordReader;

/**
 * Reads episodes of an {@link RldsDataset} by number. Keeps the last shard open, so reading in
 * order opens each file once. Not thread-safe; open one per thread.
 */
public final class EpisodeReader implements Closeable {
  private final RldsDataset dataset;
  private TfRecordReader reader;
  private int openShard = -1;

  EpisodeReader(RldsDataset dataset) {
    this.dataset = dataset;
  }

  /**
   * Reads one episode.
   *
   * @param episode 0 … {@link RldsDataset#size()}-1
   * @throws CorruptRecordException on a damaged record, or one that differs from the schema: the
   *     message names file, record, byte offset, key, what was found and what was expected
   */
  public Episode read(int episode) throws IOException {
    if (episode < 0 || episode >= dataset.size()) {
      throw new IllegalArgumentException(
          "episode: found " + episode + ", expected 0 to " + (dataset.size() - 1));
    }
    int shard = 0;
    int record = episode;
    while (record >= dataset.offsets()[shard].length) {
      record -= dataset.offsets()[shard].length;
      shard++;
    }
    if (shard != openShard) {
      close();
      reader = new TfRecordReader(dataset.shards().get(shard));
      openShard = shard;
    }
    long offset = dataset.offsets()[shard][record];
    byte[] bytes = reader.read(offset, record);
    TfExample example;
    try {
      example = TfExample.parse(bytes);
    } catch (DatasetFormatException e) {
      throw DatasetFormatException.at(reader.file(), record, offset, e.getMessage());
    }
    return new Record(dataset, reader.file(), record, offset, example).episode();
  }

  @Override
  public void close() throws IOException {
    if (reader != null) {
      reader.close();
      reader = null;
      openShard = -1;
    }
  }

  /** One record with the place it came from, taken apart into steps. */
  private record Record(
      RldsDataset dataset, Path file, long record, long offset, TfExample example) {
    Episode episode() throws DatasetFormatException {
      RldsKeys keys = dataset.keys();
      List<byte[]> images = bytes(keys.image(), -1, "image");
      int steps = images.size();
      float[] actions = floats(keys.action(), steps, Step.ACTION_SIZE);
      boolean hasState = dataset.features().has(keys.state());
      long stateElements = hasState ? elements(keys.state()) : 0;
      float[] states = hasState ? floats(keys.state(), steps, stateElements) : new float[0];
      int stateSize = (int) stateElements; // As large as that only where there is no step.
      List<String> instructions = texts(keys.instruction(), steps);
      boolean[] isFirst = flags("steps/is_first", steps, 0);
      boolean[] isLast = flags("steps/is_last", steps, steps - 1);
      boolean[] isTerminal = flags("steps/is_terminal", steps, -1);
      float[] rewards = scalars("steps/reward", steps, 0f);
      float[] discounts = scalars("steps/discount", steps, 1f);
      List<Step> list = new ArrayList<>(steps);
      for (int i = 0; i < steps; i++) {
        list.add(
            new Step(
                new Step.Origin(file, record, offset, i),
                images.get(i),
                Arrays.copyOfRange(actions, i * Step.ACTION_SIZE, (i + 1) * Step.ACTION_SIZE),
                Arrays.copyOfRange(states, i * stateSize, (i + 1) * stateSize),
                instructions.get(i),
                isFirst[i],
                isLast[i],
                isTerminal[i],
                rewards[i],
                discounts[i]));
      }
      return new Episode(file, record, list);
    }

    /** Of one step, as the schema has it; no less than 2^31 where it is more. */
    private long elements(String key) {
      long limit = 1L << 31;
      long product = 1;
      for (int dimension : dataset.features().leaves().get(key).shape()) {
        product = Math.max(-limit, Math.min(limit, product * dimension));
      }
      return product;
    }

    private TfFeature feature(String key) throws DatasetFormatException {
      TfFeature feature = example.features().get(key);
      if (feature == null) {
        throw wrong(key, "nothing", "a value, as in features.json");
      }
      return feature;
    }

    private float[] floats(String key, int steps, long perStep) throws DatasetFormatException {
      TfFeature feature = feature(key);
      if (feature.size() == steps * perStep) {
        if (feature instanceof TfFeature.Floats floats) {
          return floats.values();
        }
        if (feature instanceof TfFeature.Ints ints && perStep == 1) { // Some rewards are whole.
          float[] values = new float[steps];
          for (int i = 0; i < steps; i++) {
            values[i] = ints.values()[i];
          }
          return values;
        }
        if (feature instanceof TfFeature.Unset) {
          return new float[0];
        }
      }
      throw wrong(
          key,
          feature.describe(),
          "a list of %s float values (%s steps of %s)".formatted(steps * perStep, steps, perStep));
    }

    /**
     * A value a step.
     *
     * @param steps how many, or -1 for as many as there are
     */
    private List<byte[]> bytes(String key, int steps, String what) throws DatasetFormatException {
      TfFeature feature = feature(key);
      boolean empty = feature instanceof TfFeature.Unset; // As TensorFlow writes a list of none.
      if (empty && steps <= 0) {
        return List.of();
      }
      if (!(feature instanceof TfFeature.ByteStrings bytes)
          || steps >= 0 && feature.size() != steps) {
        String count = steps < 0 ? "" : steps + " ";
        throw wrong(
            key,
            feature.describe(),
            "a list of " + count + "bytes values, one " + what + " a step");
      }
      return bytes.values();
    }

    private List<String> texts(String key, int steps) throws DatasetFormatException {
      List<String> texts = new ArrayList<>(steps);
      for (byte[] value : bytes(key, steps, "text")) {
        try {
          texts.add(StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(value)).toString());
        } catch (CharacterCodingException e) {
          throw wrong(key, "bytes that are not UTF-8", "UTF-8 text");
        }
      }
      return texts;
    }

    /** A boolean a step; without the key, true at one position only (-1: nowhere). */
    private boolean[] flags(String key, int steps, int fallback) throws DatasetFormatException {
      boolean[] flags = new boolean[steps];
      if (!dataset.features().has(key)) {
        if (fallback >= 0 && fallback < steps) {
          flags[fallback] = true;
        }
        return flags;
      }
      TfFeature feature = feature(key);
      if (steps == 0 && feature instanceof TfFeature.Unset) {
        return flags;
      }
      if (!(feature instanceof TfFeature.Ints ints) || feature.size() != steps) {
        throw wrong(key, feature.describe(), "a list of " + steps + " int64 values");
      }
      for (int i = 0; i < steps; i++) {
        flags[i] = ints.values()[i] != 0;
      }
      return flags;
    }

    private float[] scalars(String key, int steps, float fallback) throws DatasetFormatException {
      if (dataset.features().has(key)) {
        return floats(key, steps, 1);
      }
      float[] values = new float[steps];
      Arrays.fill(values, fallback);
      return values;
    }

    private DatasetFormatException wrong(String key, String found, String expected) {
      return DatasetFormatException.key(file, record, offset, key, found, expected);
    }
  }
}
