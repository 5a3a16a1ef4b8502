package org.sightline.vla.data.rlds;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.sightline.formats.FormatException;
import org.sightline.formats.json.JsonFields;
import org.sightline.formats.tfrecord.DatasetFormatException;

/**
 * A TFDS {@code dataset_info.json}.
 *
 * @param folder it lies in
 * @param json its content
 * @param name of the dataset
 * @param format of its shards, {@code tfrecord} unless it says otherwise
 */
record RldsInfo(Path folder, JsonFields json, String name, String format) {
  static final String FILE = "dataset_info.json";
  static final String TFRECORD = "tfrecord";

  static RldsInfo read(Path folder) throws IOException {
    JsonFields json = JsonFields.read(folder.resolve(FILE));
    return new RldsInfo(
        folder,
        json,
        json.plainName("name"),
        json.has("fileFormat") ? json.plainName("fileFormat") : TFRECORD);
  }

  /** Passes if its shards are of the one format that is read here. */
  void requireTfRecord() throws FormatException {
    if (!format.equals(TFRECORD)) {
      throw json.wrong(
          "fileFormat",
          "\"tfrecord\"; to convert it: tfds convert_format --dataset_dir="
              + folder
              + " --out_file_format=tfrecord --out_dir=NEW_DIR");
    }
  }

  /** The names of all splits. */
  List<String> splits() throws FormatException {
    List<String> names = new ArrayList<>();
    for (JsonFields split : json.objects("splits")) {
      names.add(split.plainName("name"));
    }
    return names;
  }

  /** Numbers of records. */
  List<Long> shardLengths(String split) throws IOException {
    List<String> available = splits();
    int index = available.indexOf(split);
    if (index < 0) {
      throw new DatasetFormatException(
          json.file() + ": found the splits " + available + ", expected one named '" + split + "'");
    }
    JsonFields found = json.objects("splits").get(index);
    List<Long> lengths = found.longs("shardLengths");
    if (!lengths.stream().allMatch(length -> length >= 0 && length <= Integer.MAX_VALUE)) {
      throw found.wrong("shardLengths", "numbers of episodes, from 0 to 2^31 - 1");
    }
    return lengths;
  }

  /** The file of a shard. */
  Path shard(String split, int number, int count) {
    return folder.resolve(fileName(name, split, format, number, count));
  }

  /** A shard's name, in digits that other programs read too. */
  static String fileName(String name, String split, String format, int number, int count) {
    return String.format(Locale.ROOT, "%s-%s.%s-%05d-of-%05d", name, split, format, number, count);
  }
}
