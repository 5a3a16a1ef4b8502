package org.sightline.vla.data;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import javax.imageio.ImageIO;
import org.sightline.formats.tfrecord.TfExample;
import org.sightline.formats.tfrecord.TfFeature;
import org.sightline.formats.tfrecord.TfRecordReader;
import org.sightline.formats.tfrecord.TfRecordWriter;
import org.sightline.vla.data.image.ImageCodec;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.data.rlds.RldsDataset;
import org.sightline.vla.data.rlds.RldsWriter;
import org.sightline.vla.data.rlds.Step;

/** Small synthetic datasets, and damage done to them. */
public final class TestData {
  public static final int STATE_SIZE = 7;

  private TestData() {}

  /** Episode e has lengths[e] steps; the first action value of a step is 100·e + its number. */
  public static RldsDataset write(Path folder, int shards, int... lengths) throws IOException {
    return write(folder, "toy", shards, lengths);
  }

  public static RldsDataset write(Path folder, String name, int shards, int... lengths)
      throws IOException {
    Random random = new Random(1);
    RldsWriter.Layout layout =
        new RldsWriter.Layout(name, "test data", lengths.length, shards, 16, 12, STATE_SIZE);
    try (RldsWriter writer = new RldsWriter(folder, layout)) {
      for (int e = 0; e < lengths.length; e++) {
        writer.write(episode(e, lengths[e], random));
      }
    }
    return RldsDataset.open(folder);
  }

  public static List<Step> episode(int number, int length, Random random) throws IOException {
    List<Step> steps = new ArrayList<>();
    for (int i = 0; i < length; i++) {
      float[] action = new float[Step.ACTION_SIZE];
      float[] state = new float[STATE_SIZE];
      for (int d = 0; d < 7; d++) {
        action[d] = (float) random.nextGaussian();
        state[d] = random.nextFloat();
      }
      action[0] = 100 * number + i;
      action[6] = i % 2;
      steps.add(
          new Step(
              new Step.Origin(Path.of("generated"), number, 0, i),
              ImageCodec.encodeJpeg(noise(16, 12, random), 0.9f),
              action,
              state,
              "put Object " + number + " on plate",
              i == 0,
              i == length - 1,
              i == length - 1,
              i == length - 1 ? 1 : 0,
              1));
    }
    return steps;
  }

  public static RgbImage noise(int width, int height, Random random) {
    byte[] pixels = new byte[width * height * 3];
    random.nextBytes(pixels);
    return new RgbImage(width, height, pixels);
  }

  /** Rewrites the only record of a one-episode dataset with one feature replaced, or removed. */
  public static Path replaceFeature(Path folder, String key, TfFeature feature) throws IOException {
    Path shard = folder.resolve("toy-train.tfrecord-00000-of-00001");
    TfExample example;
    try (TfRecordReader reader = new TfRecordReader(shard)) {
      example = TfExample.parse(reader.next());
    }
    Map<String, TfFeature> features = new TreeMap<>(example.features());
    if (feature == null) {
      features.remove(key);
    } else {
      features.put(key, feature);
    }
    try (TfRecordWriter writer = new TfRecordWriter(shard)) {
      writer.write(new TfExample(features).serialize());
    }
    return shard;
  }

  public static void replaceText(Path file, String from, String to) throws IOException {
    String text = Files.readString(file, StandardCharsets.UTF_8);
    if (!text.contains(from)) {
      throw new AssertionError(file + " does not contain " + from);
    }
    Files.writeString(file, text.replace(from, to), StandardCharsets.UTF_8);
  }

  /** A PNG, without loss. */
  public static byte[] png(RgbImage image) throws IOException {
    var buffered = new BufferedImage(image.width(), image.height(), BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < image.height(); y++) {
      for (int x = 0; x < image.width(); x++) {
        int red = image.get(x, y, 0);
        buffered.setRGB(x, y, red << 16 | image.get(x, y, 1) << 8 | image.get(x, y, 2));
      }
    }
    var bytes = new ByteArrayOutputStream();
    ImageIO.write(buffered, "png", bytes);
    return bytes.toByteArray();
  }
}
