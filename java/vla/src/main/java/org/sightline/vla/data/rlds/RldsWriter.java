package org.sightline.vla.data.rlds;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.Closeable;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.tfrecord.TfExample;
import org.sightline.formats.tfrecord.TfFeature;
import org.sightline.formats.tfrecord.TfRecordWriter;

/**
 * Writes an RLDS folder with the feature names of BridgeData, readable by TensorFlow Datasets
 * ({@code builder_from_directory}) and {@link RldsDataset}. Episodes are dealt to the shards in
 * order. {@code dataset_info.json} is written last, so a folder whose writing was interrupted
 * cannot be opened.
 */
public final class RldsWriter implements Closeable {
  private static final Gson JSON =
      new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

  /**
   * What is written.
   *
   * @param name dataset name, lower-case with underscores as TFDS wants it
   * @param description a few words for {@code dataset_info.json}
   * @param episodes how many will be written
   * @param shards number of files, at most one per episode
   * @param imageWidth in pixels
   * @param imageHeight in pixels
   * @param stateSize floats of a step's state
   */
  public record Layout(
      String name,
      String description,
      int episodes,
      int shards,
      int imageWidth,
      int imageHeight,
      int stateSize) {
    public Layout {
      if (!name.matches("[a-z][a-z0-9_]*")) {
        throw new IllegalArgumentException(
            "name: found '" + name + "', expected lower-case letters, digits and underscores");
      }
      requireShards(episodes, shards);
      if (imageWidth < 1 || imageHeight < 1 || stateSize < 0) {
        throw new IllegalArgumentException(
            "found images of %sx%s and a state of %s floats, expected at least 1x1 and 0"
                .formatted(imageWidth, imageHeight, stateSize));
      }
    }
  }

  private final Path folder;
  private final Layout layout;
  private final List<Integer> shardLengths = new ArrayList<>();
  private TfRecordWriter shard;
  private int written;
  private long bytes;

  /**
   * Refuses shards that would stay empty.
   *
   * @throws IllegalArgumentException unless {@code 1 <= shards <= episodes}
   */
  public static void requireShards(int episodes, int shards) {
    if (episodes < 1 || shards < 1 || shards > episodes) {
      throw new IllegalArgumentException(
          ("found %s episodes and %s shards, expected at least 1 of each and no more shards"
                  + " than episodes")
              .formatted(episodes, shards));
    }
  }

  /** Creates the folder and its {@code features.json}; removes a former dataset_info.json. */
  public RldsWriter(Path folder, Layout layout) throws IOException {
    this.folder = folder;
    this.layout = layout;
    Files.createDirectories(folder);
    Files.deleteIfExists(folder.resolve("dataset_info.json"));
    AtomicFile.writeText(folder.resolve("features.json"), JSON.toJson(features()));
  }

  /** Appends an episode to the {@code train} split. */
  public void write(List<Step> steps) throws IOException {
    if (written == layout.episodes()) {
      throw new IllegalStateException(
          "episodes: found one more than the " + written + " of the layout");
    }
    if (steps.isEmpty()) {
      throw new IllegalArgumentException("steps: found none, expected at least 1");
    }
    byte[] record = example(steps).serialize();
    int index = (int) ((long) written * layout.shards() / layout.episodes());
    if (index == shardLengths.size()) {
      if (shard != null) {
        shard.close();
      }
      shard =
          new TfRecordWriter(
              folder.resolve(
                  RldsInfo.fileName(
                      layout.name(), "train", RldsInfo.TFRECORD, index, layout.shards())));
      shardLengths.add(0);
    }
    shard.write(record);
    shardLengths.set(index, shardLengths.get(index) + 1);
    bytes += record.length;
    written++;
  }

  /** Finishes the dataset if all episodes were written. */
  @Override
  public void close() throws IOException {
    if (shard != null) {
      shard.close();
      shard = null;
    }
    if (written == layout.episodes()) {
      AtomicFile.writeText(folder.resolve("dataset_info.json"), JSON.toJson(info()));
    }
  }

  private TfExample example(List<Step> steps) {
    int count = steps.size();
    float[] actions = new float[count * Step.ACTION_SIZE];
    float[] states = new float[count * layout.stateSize()];
    float[] rewards = new float[count];
    float[] discounts = new float[count];
    long[][] flags = new long[3][count];
    List<byte[]> images = new ArrayList<>(count);
    List<byte[]> instructions = new ArrayList<>(count);
    for (int i = 0; i < count; i++) {
      Step step = steps.get(i);
      copy("action", step.action(), Step.ACTION_SIZE, actions, i);
      copy("state", step.state(), layout.stateSize(), states, i);
      images.add(step.image());
      instructions.add(step.instruction().getBytes(StandardCharsets.UTF_8));
      rewards[i] = step.reward();
      discounts[i] = step.discount();
      flags[0][i] = step.isFirst() ? 1 : 0;
      flags[1][i] = step.isLast() ? 1 : 0;
      flags[2][i] = step.isTerminal() ? 1 : 0;
    }
    TreeMap<String, TfFeature> features = new TreeMap<>();
    features.put(RldsKeys.BRIDGE.image(), new TfFeature.ByteStrings(images));
    features.put(RldsKeys.BRIDGE.action(), new TfFeature.Floats(actions));
    features.put(RldsKeys.BRIDGE.state(), new TfFeature.Floats(states));
    features.put(RldsKeys.BRIDGE.instruction(), new TfFeature.ByteStrings(instructions));
    features.put("steps/reward", new TfFeature.Floats(rewards));
    features.put("steps/discount", new TfFeature.Floats(discounts));
    features.put("steps/is_first", new TfFeature.Ints(flags[0]));
    features.put("steps/is_last", new TfFeature.Ints(flags[1]));
    features.put("steps/is_terminal", new TfFeature.Ints(flags[2]));
    features.put("episode_metadata/episode_id", new TfFeature.Ints(new long[] {written}));
    return new TfExample(features);
  }

  private static void copy(String name, float[] values, int size, float[] target, int step) {
    if (values.length != size) {
      throw new IllegalArgumentException(
          "step " + step + ", " + name + ": found " + values.length + " floats, expected " + size);
    }
    System.arraycopy(values, 0, target, step * size, size);
  }

  private JsonObject features() {
    JsonObject observation = new JsonObject();
    observation.add("image_0", image());
    observation.add("state", tensor("tensor_feature.Tensor", "float32", layout.stateSize()));
    JsonObject step = new JsonObject();
    step.add("action", tensor("tensor_feature.Tensor", "float32", Step.ACTION_SIZE));
    step.add("observation", dictionary(observation));
    step.add("language_instruction", leaf("text_feature.Text", "text", new JsonObject()));
    step.add("reward", tensor("scalar.Scalar", "float32"));
    step.add("discount", tensor("scalar.Scalar", "float32"));
    step.add("is_first", tensor("scalar.Scalar", "bool"));
    step.add("is_last", tensor("scalar.Scalar", "bool"));
    step.add("is_terminal", tensor("scalar.Scalar", "bool"));
    JsonObject sequence = new JsonObject();
    sequence.add("feature", dictionary(step));
    sequence.addProperty("length", "-1");
    JsonObject metadata = new JsonObject();
    metadata.add("episode_id", tensor("scalar.Scalar", "int32"));
    JsonObject root = new JsonObject();
    root.add("steps", leaf("dataset_feature.Dataset", "sequence", sequence));
    root.add("episode_metadata", dictionary(metadata));
    return dictionary(root);
  }

  private JsonObject image() {
    JsonObject image = new JsonObject();
    image.add("shape", shape(layout.imageHeight(), layout.imageWidth(), 3));
    image.addProperty("dtype", "uint8");
    image.addProperty("encodingFormat", "jpeg");
    return leaf("image_feature.Image", "image", image);
  }

  private static JsonObject tensor(String type, String dtype, int... dimensions) {
    JsonObject tensor = new JsonObject();
    tensor.add("shape", shape(dimensions));
    tensor.addProperty("dtype", dtype);
    tensor.addProperty("encoding", "none");
    return leaf(type, "tensor", tensor);
  }

  /** Dimensions are strings: the file is protobuf's JSON form, where int64 is. */
  private static JsonObject shape(int... dimensions) {
    JsonObject shape = new JsonObject();
    if (dimensions.length > 0) {
      JsonArray array = new JsonArray();
      for (int dimension : dimensions) {
        array.add(Integer.toString(dimension));
      }
      shape.add("dimensions", array);
    }
    return shape;
  }

  private static JsonObject dictionary(JsonObject children) {
    JsonObject features = new JsonObject();
    features.add("features", children);
    return leaf("features_dict.FeaturesDict", "featuresDict", features);
  }

  private static JsonObject leaf(String type, String key, JsonObject content) {
    JsonObject leaf = new JsonObject();
    leaf.addProperty("pythonClassName", "tensorflow_datasets.core.features." + type);
    leaf.add(key, content);
    return leaf;
  }

  private JsonObject info() {
    JsonArray lengths = new JsonArray();
    shardLengths.forEach(length -> lengths.add(length.toString()));
    JsonObject split = new JsonObject();
    split.addProperty("filepathTemplate", "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}");
    split.addProperty("name", "train");
    split.addProperty("numBytes", Long.toString(bytes));
    split.add("shardLengths", lengths);
    JsonArray splits = new JsonArray();
    splits.add(split);
    JsonObject info = new JsonObject();
    info.addProperty("description", layout.description());
    info.addProperty("fileFormat", RldsInfo.TFRECORD);
    info.addProperty("name", layout.name());
    info.add("splits", splits);
    info.addProperty("version", "1.0.0");
    return info;
  }
}
