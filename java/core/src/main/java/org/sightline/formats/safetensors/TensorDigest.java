package org.sightline.formats.safetensors;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Collection;
import java.util.Map;
import java.util.TreeMap;
import org.sightline.formats.file.Sha256;

/**
 * Tells tensors of equal names and shapes apart by what they hold, at a price that does not grow
 * with them: SHA-256 of metadata, names, types, shapes and bytes, of a large tensor {@value
 * #BLOCKS} blocks of {@value #BLOCK} bytes at fixed places from its first byte to its last. How
 * tensors are divided among files, and what these are called, does not matter.
 */
public final class TensorDigest {
  private static final int BLOCK = 1 << 17;
  private static final int BLOCKS = 8;

  private TensorDigest() {}

  /** In hexadecimal. */
  public static String of(Collection<Safetensors> files) throws IOException {
    Map<String, String> metadata = new TreeMap<>();
    Map<String, Safetensors> tensors = new TreeMap<>();
    for (Safetensors file : files) {
      metadata.putAll(file.metadata());
      file.names().forEach(name -> tensors.put(name, file));
    }
    MessageDigest digest = Sha256.begin();
    digest.update(metadata.toString().getBytes(StandardCharsets.UTF_8));
    for (Map.Entry<String, Safetensors> tensor : tensors.entrySet()) {
      update(digest, tensor.getValue(), tensor.getValue().info(tensor.getKey()));
    }
    return Sha256.hex(digest);
  }

  private static void update(MessageDigest digest, Safetensors file, TensorInfo info)
      throws IOException {
    String head = "\n" + info.name() + " " + info.type() + " " + info.shape() + "\n";
    digest.update(head.getBytes(StandardCharsets.UTF_8));
    long size = info.sizeInBytes();
    if (size <= BLOCKS * BLOCK) {
      digest.update(file.bytes(info, 0, (int) size));
      return;
    }
    for (int i = 0; i < BLOCKS; i++) {
      digest.update(file.bytes(info, (size - BLOCK) * i / (BLOCKS - 1), BLOCK));
    }
  }
}
