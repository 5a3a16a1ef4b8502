package org.sightline.vla.teacher.cache;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.util.List;
import java.util.stream.Stream;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.file.Sha256;

/**
 * What a file of cached features holds: whose features, of pixels made how. Another teacher or
 * another preprocessing has another {@link #hash} and so another file.
 *
 * @param teacher identifies the teacher, weights included, see {@link #identify}
 * @param preprocessing all that determines the pixels of an image key: size, augmentation, seed
 * @param tokens patches N of a picture
 * @param width values Z of a patch
 */
public record FeatureKind(String teacher, String preprocessing, long tokens, long width) {
  public FeatureKind {
    if (tokens < 1 || width < 1 || tokens > Integer.MAX_VALUE / 2 / width) {
      throw new IllegalArgumentException(
          "tokens and width must be positive, an entry less than 2 GiB, found %s and %s"
              .formatted(tokens, width));
    }
  }

  /** Bytes of one picture's features: 2·N·Z. */
  public int entryBytes() {
    return (int) (2 * tokens * width);
  }

  /** SHA-256 of all of it, in hexadecimal. */
  public String hash() {
    MessageDigest digest = Sha256.begin();
    digest.update(("1\n" + this).getBytes(StandardCharsets.UTF_8));
    return Sha256.hex(digest);
  }

  /**
   * Identifies a teacher by what its files hold: the SHA-256 of the file, or of all safetensors and
   * JSON files of the folder, and of whatever else decides its features.
   *
   * @param settings e.g. element type and patch grid
   */
  public static String identify(Path fileOrFolder, String... settings) throws IOException {
    MessageDigest digest = Sha256.begin();
    for (Path file : files(fileOrFolder)) {
      // A single file may be called anything.
      digest.update((fileOrFolder.relativize(file) + "\n").getBytes(StandardCharsets.UTF_8));
      try (InputStream in =
          new DigestInputStream(Files.newInputStream(InputFile.require(file)), digest)) {
        in.transferTo(OutputStream.nullOutputStream());
      }
    }
    return Sha256.hex(digest) + " " + String.join(", ", settings);
  }

  private static List<Path> files(Path fileOrFolder) throws IOException {
    if (!Files.isDirectory(fileOrFolder)) {
      return List.of(fileOrFolder);
    }
    try (Stream<Path> files = Files.list(fileOrFolder)) {
      return files
          .filter(Files::isRegularFile)
          .filter(file -> file.toString().matches(".*\\.(safetensors|json)"))
          .sorted()
          .toList();
    }
  }
}
