package org.sightline.formats.safetensors;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.sightline.Checks;
import org.sightline.formats.file.AtomicFile;

/** Writes what {@link ShardedSafetensors} opens. */
public final class ShardedSafetensorsWriter {
  private ShardedSafetensorsWriter() {}

  /**
   * Writes tensors as Hugging Face's {@code save_pretrained} does: in the given order, a new shard
   * whenever the next tensor would make the present one larger than {@code maxShardBytes} (a larger
   * tensor gets a shard of its own); {@code model.safetensors} alone if one shard is enough. Never
   * more than one tensor is in memory.
   *
   * @param folder must exist; files of these names are replaced, each atomically
   * @param tensors name, type and shape of each; their places are not used
   * @param source asked once for each
   * @return the files, the index last if there is one
   */
  public static List<Path> write(
      Path folder, Collection<TensorInfo> tensors, TensorSource source, long maxShardBytes)
      throws IOException {
    List<List<TensorInfo>> plan = split(tensors, maxShardBytes);
    Map<String, String> metadata = Map.of("format", "pt");
    if (plan.size() == 1) {
      Path file = folder.resolve(ShardedSafetensors.SINGLE);
      SafetensorsWriter.write(file, plan.get(0), source, metadata);
      return List.of(file);
    }
    List<Path> files = new ArrayList<>();
    Map<String, String> weightMap = new LinkedHashMap<>();
    for (int i = 0; i < plan.size(); i++) {
      String name =
          String.format(Locale.ROOT, "model-%05d-of-%05d.safetensors", i + 1, plan.size());
      Path file = folder.resolve(name);
      SafetensorsWriter.write(file, plan.get(i), source, metadata);
      plan.get(i).forEach(info -> weightMap.put(info.name(), name));
      files.add(file);
    }
    long total = tensors.stream().mapToLong(TensorInfo::sizeInBytes).sum();
    Path index = folder.resolve(ShardedSafetensors.INDEX);
    AtomicFile.writeText(index, new SafetensorsIndex(weightMap).toJson(total));
    files.add(index);
    return files;
  }

  /** The shards' tensors. */
  static List<List<TensorInfo>> split(Collection<TensorInfo> tensors, long maxShardBytes) {
    Checks.atLeast("maxShardBytes", maxShardBytes, 1);
    if (tensors.isEmpty()) {
      throw new IllegalArgumentException("tensors: found none, expected at least one");
    }
    List<List<TensorInfo>> shards = new ArrayList<>();
    List<TensorInfo> open = new ArrayList<>();
    long bytes = 0;
    for (TensorInfo info : tensors) {
      long size = info.sizeInBytes();
      if (size > maxShardBytes) {
        shards.add(List.of(info));
        continue;
      }
      if (bytes + size > maxShardBytes) {
        shards.add(open);
        open = new ArrayList<>();
        bytes = 0;
      }
      open.add(info);
      bytes += size;
    }
    if (!open.isEmpty()) {
      shards.add(open);
    }
    return shards;
  }
}
