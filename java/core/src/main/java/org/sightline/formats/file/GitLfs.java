package org.sightline.formats.file;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.sightline.formats.FormatException;

/**
 * Recognises what Git leaves in place of a large file where Git LFS was not at work: a text of
 * three lines that names the file's hash. Readers would take it for a damaged download.
 */
public final class GitLfs {
  private static final byte[] START =
      "version https://git-lfs.github.com/spec/".getBytes(StandardCharsets.US_ASCII);

  private GitLfs() {}

  /**
   * Passes if it is a file, and no pointer.
   *
   * @throws FormatException naming the file and the cure
   */
  public static void requireContent(Path file) throws IOException {
    ByteBuffer start = ByteBuffer.allocate(START.length);
    try (SharedFile content = SharedFile.toRead(file)) {
      content.read(start, 0);
      if (start.flip().equals(ByteBuffer.wrap(START))) {
        throw new FormatException(
            file,
            "document",
            "a Git LFS pointer",
            "the file it stands for: run \"git lfs install\" and \"git lfs pull\" in its repository");
      }
    }
  }
}
