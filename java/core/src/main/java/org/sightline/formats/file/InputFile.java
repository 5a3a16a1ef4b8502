package org.sightline.formats.file;

import java.io.IOException;
import java.io.InputStream;
import java.io.SyncFailedException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import org.sightline.formats.FormatException;
import org.sightline.formats.Printable;

/**
 * What may be opened: regular files alone, for a pipe would be waited for and a device has no end.
 * Errors name the file, which the system's own do not always.
 */
public final class InputFile {
  /** Ten times a large model's tokenizer, index or statistics: what is larger is none of these. */
  static final int MAX_BYTES = 1 << 28;

  private InputFile() {}

  /**
   * Passes if it is a regular file, or a link to one.
   *
   * @return the file
   * @throws NoSuchFileException if nothing is there
   * @throws FormatException if it is something else
   */
  public static Path require(Path file) throws IOException {
    BasicFileAttributes found = Files.readAttributes(file, BasicFileAttributes.class);
    if (!found.isRegularFile()) {
      throw new FormatException(
          file, "document", found.isDirectory() ? "a folder" : "a pipe or device", "a file");
    }
    return file;
  }

  /**
   * Passes unless a file that is written in place is a link: it would lead the writer to a file of
   * someone else's choice.
   *
   * @return the file
   * @throws FormatException if it is one
   */
  public static Path requireNoLink(Path file) throws IOException {
    if (Files.isSymbolicLink(file)) {
      throw new FormatException(file, "document", "a link", "a file");
    }
    return file;
  }

  /** As {@link #requireNoLink}, and if it is there already, it is a regular file. */
  public static Path requireOwn(Path file) throws IOException {
    return Files.exists(requireNoLink(file)) ? require(file) : file;
  }

  /**
   * Whether anything is there. What is in a folder that may not be searched is not absent for that.
   *
   * @throws UncheckedIOException if it cannot be told
   */
  public static boolean exists(Path path) {
    try {
      Files.readAttributes(path, BasicFileAttributes.class);
      return true;
    } catch (AccessDeniedException e) {
      throw new UncheckedIOException(e);
    } catch (IOException e) {
      return false;
    }
  }

  /**
   * All of a file.
   *
   * @throws FormatException if it is larger than any document, or than the Java heap
   */
  public static byte[] bytes(Path file) throws IOException {
    require(file);
    try (InputStream in = Files.newInputStream(file)) {
      byte[] content = Files.size(file) > MAX_BYTES ? null : in.readNBytes(MAX_BYTES + 1);
      if (content == null || content.length > MAX_BYTES) {
        throw tooLarge(file, "at most " + MAX_BYTES);
      }
      return content;
    } catch (OutOfMemoryError e) {
      throw tooLarge(file, "a file that fits into the Java heap");
    } catch (IOException e) {
      throw named(file, e);
    }
  }

  /**
   * All of a text.
   *
   * @throws FormatException as of {@link #bytes}, or if it is not UTF-8
   */
  public static String text(Path file) throws IOException {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes(file))).toString();
    } catch (CharacterCodingException e) {
      throw new FormatException(file, "document", "bytes that are not UTF-8", "UTF-8 text");
    } catch (OutOfMemoryError e) {
      throw tooLarge(file, "a text that fits into the Java heap");
    }
  }

  private static FormatException tooLarge(Path file, String expected) throws IOException {
    return new FormatException(file, "document", Files.size(file) + " bytes", expected);
  }

  /**
   * Whether a name out of a file means a file beside it: whoever wrote it has no say over other
   * folders, nor over what a name looks like where it is printed.
   */
  public static boolean isPlainName(String name) {
    try {
      Path path = Path.of(name);
      return path.getRoot() == null
          && path.getNameCount() == 1
          && path.toString().equals(name)
          && !name.isEmpty()
          && !name.equals(".")
          && !name.equals("..")
          && name.indexOf('/') < 0
          && name.indexOf('\\') < 0
          && Printable.of(name).equals(name);
    } catch (InvalidPathException e) {
      return false;
    }
  }

  /** The system's error for a read, a write or a sync of an open file has no name in it. */
  public static IOException named(Path file, IOException e) {
    boolean nameless = e.getClass() == IOException.class || e instanceof SyncFailedException;
    return nameless ? new IOException(file + ": " + e.getMessage(), e) : e;
  }
}
