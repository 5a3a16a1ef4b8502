package org.sightline.formats.safetensors;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.Tensor;
import org.sightline.formats.FormatException;
import org.sightline.formats.file.InputFile;

/**
 * The tensors of a model that lie in one safetensors file or in several, as Hugging Face publishes
 * them:
 *
 * <pre>
 * model.safetensors                                  all in one, or
 * model.safetensors.index.json                       which tensor is in which shard, and
 * model-00001-of-00003.safetensors, …                the shards
 * </pre>
 *
 * <p>Opening reads headers alone. Every defect of index and shards (files that are missing or cut
 * short, tensors that are not where the index says) is in one error. Tensors are read as {@link
 * Safetensors} reads them: once, in their own dtype, straight into their own memory.
 */
public final class ShardedSafetensors implements AutoCloseable {
  static final String SINGLE = "model.safetensors";
  static final String INDEX = "model.safetensors.index.json";

  private final Path path;
  private final List<Safetensors> shards = new ArrayList<>();
  private final Map<String, Safetensors> shardOf = new LinkedHashMap<>();

  private ShardedSafetensors(Path path) {
    this.path = path;
  }

  /**
   * Opens a model's tensors.
   *
   * @param path a folder with {@code model.safetensors} or {@code model.safetensors.index.json}, or
   *     one such file, or any one safetensors file
   * @throws FormatException naming every file that is malformed or missing and every tensor that is
   *     not where the index says
   * @throws IOException if nothing of that kind is there: says what is
   */
  public static ShardedSafetensors open(Path path) throws IOException {
    Path file = Files.isDirectory(path) ? find(path) : path;
    if (!file.getFileName().toString().endsWith(".json")) {
      return open(path, List.of(file), null);
    }
    SafetensorsIndex index = SafetensorsIndex.read(file);
    Path folder = file.toAbsolutePath().getParent();
    Path named = path.equals(file) ? folder : path;
    List<Path> files =
        new TreeSet<>(index.weightMap().values()).stream().map(named::resolve).toList();
    return open(path, files, index);
  }

  /**
   * Opens files that together hold a model's tensors.
   *
   * @throws FormatException as {@link #open(Path)}, or if two files hold a tensor of the same name
   */
  public static ShardedSafetensors open(List<Path> files) throws IOException {
    if (files.isEmpty()) {
      throw new IllegalArgumentException("files: found none, expected at least one");
    }
    return files.size() == 1 ? open(files.get(0)) : open(files.get(0), files, null);
  }

  private static Path find(Path folder) throws IOException {
    Path single = folder.resolve(SINGLE);
    Path index = folder.resolve(INDEX);
    if (InputFile.exists(single) && InputFile.exists(index)) {
      throw new IOException(
          folder + ": found both " + SINGLE + " and " + INDEX + ", expected one: which is meant?");
    }
    if (InputFile.exists(single)) {
      return single;
    }
    if (InputFile.exists(index)) {
      return index;
    }
    boolean pickled =
        InputFile.exists(folder.resolve("pytorch_model.bin"))
            || InputFile.exists(folder.resolve("pytorch_model.bin.index.json"));
    throw new IOException(
        "%s: found neither %s nor %s, expected one%s"
            .formatted(
                folder,
                SINGLE,
                INDEX,
                pickled ? " (pickled pytorch_model.bin files are not read)" : ""));
  }

  private static ShardedSafetensors open(Path path, List<Path> files, SafetensorsIndex index)
      throws IOException {
    var opened = new ShardedSafetensors(path);
    List<String> defects = new ArrayList<>();
    try {
      Map<String, Long> lost = index == null ? Map.of() : index.tensorsByFile();
      for (Path file : files) {
        opened.add(file, lost.get(file.getFileName().toString()), defects);
      }
      if (index != null) {
        opened.compare(index, defects);
      }
      if (!defects.isEmpty()) {
        throw new FormatException(
            path,
            "shards: " + (defects.size() == 1 ? "a defect" : defects.size() + " defects"),
            defects);
      }
      return opened;
    } catch (IOException | RuntimeException e) {
      opened.close();
      throw e;
    }
  }

  /**
   * Opens a shard.
   *
   * @param indexed tensors that the index puts there; null without an index
   */
  private void add(Path file, Long indexed, List<String> defects) throws IOException {
    if (indexed != null && !Files.isRegularFile(file)) {
      defects.add(file + ": no such file; the index puts " + indexed + " tensors there");
      return;
    }
    Safetensors shard;
    try {
      shard = Safetensors.open(file);
    } catch (FormatException e) {
      if (file.equals(path)) {
        throw e; // The one file that was asked for.
      }
      defects.add(e.getMessage());
      return;
    }
    shards.add(shard);
    for (String name : shard.names()) {
      Safetensors other = shardOf.putIfAbsent(name, shard);
      if (other != null) {
        defects.add(name + ": found in " + other.file() + " and " + file + ", expected in one");
      }
    }
  }

  /** Tensors against the index; those of a shard that could not be opened are not mentioned. */
  private void compare(SafetensorsIndex index, List<String> defects) {
    Set<String> readable = new TreeSet<>();
    shards.forEach(shard -> readable.add(shard.file().getFileName().toString()));
    index
        .weightMap()
        .forEach(
            (name, file) -> {
              Safetensors shard = shardOf.get(name);
              String found = shard == null ? null : shard.file().getFileName().toString();
              if (readable.contains(file) && !file.equals(found)) {
                defects.add(
                    "%s: found %s, expected in %s as the index says"
                        .formatted(name, found == null ? "in no shard" : "in " + found, file));
              }
            });
    shardOf.forEach(
        (name, shard) -> {
          if (!index.weightMap().containsKey(name)) {
            defects.add(
                name + ": found in " + shard.file().getFileName() + ", but not in the index");
          }
        });
  }

  /** What was opened. */
  public Path path() {
    return path;
  }

  /** The files, in the order of their names. */
  public List<Safetensors> shards() {
    return Collections.unmodifiableList(shards);
  }

  /** The strings under {@code __metadata__} of all files; of equal keys the last file's. */
  public Map<String, String> metadata() {
    Map<String, String> metadata = new LinkedHashMap<>();
    shards.forEach(shard -> metadata.putAll(shard.metadata()));
    return metadata;
  }

  /** The names of all tensors, shard by shard in the order of their bytes. */
  public Set<String> names() {
    return Collections.unmodifiableSet(shardOf.keySet());
  }

  /**
   * Type and shape of a tensor, and its place in its shard.
   *
   * @throws IllegalArgumentException if there is no such tensor
   */
  public TensorInfo info(String name) {
    return shard(name).info(name);
  }

  /**
   * The shard that holds a tensor.
   *
   * @throws IllegalArgumentException if there is no such tensor
   */
  public Safetensors shard(String name) {
    Safetensors shard = shardOf.get(name);
    if (shard == null) {
      throw new IllegalArgumentException(
          path + ": found no tensor '" + name + "' among " + shardOf.size());
    }
    return shard;
  }

  /** As {@link Safetensors#tensor}. */
  public Tensor tensor(String name) throws IOException {
    return shard(name).tensor(name);
  }

  /** Bytes of all tensors. */
  public long sizeInBytes() {
    return names().stream().mapToLong(name -> info(name).sizeInBytes()).sum();
  }

  @Override
  public void close() throws IOException {
    for (Safetensors shard : shards) {
      shard.close();
    }
  }
}
