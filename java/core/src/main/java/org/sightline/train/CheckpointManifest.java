package org.sightline.train;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.sightline.formats.AtomicFile;
import org.sightline.formats.JsonFields;

/**
 * What a checkpoint's folder must hold, so that a damaged one is told from a good one.
 *
 * @param format of the folder; other numbers are of other versions of Sightline
 * @param step optimizer steps done
 * @param files all but the manifest, by name
 */
record CheckpointManifest(int format, int step, Map<String, Content> files) {
  static final String NAME = "manifest.json";
  private static final int FORMAT = 1;
  private static final Gson GSON =
      new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

  /**
   * @param sha256 in lower-case hexadecimal
   */
  record Content(long bytes, String sha256) {
    static Content of(Path file) throws IOException {
      MessageDigest digest = sha256Digest();
      byte[] buffer = new byte[1 << 20];
      long bytes = 0;
      try (InputStream in = Files.newInputStream(file)) {
        for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
          digest.update(buffer, 0, read);
          bytes += read;
        }
      }
      return new Content(bytes, HexFormat.of().formatHex(digest.digest()));
    }

    private static MessageDigest sha256Digest() {
      try {
        return MessageDigest.getInstance("SHA-256");
      } catch (NoSuchAlgorithmException e) {
        throw new AssertionError("every Java platform has SHA-256", e);
      }
    }
  }

  /** Describes the files of a folder and writes that beside them. */
  static void write(Path folder, int step) throws IOException {
    Map<String, Content> files = new TreeMap<>();
    try (Stream<Path> list = Files.list(folder)) {
      for (Path file : list.toList()) {
        files.put(file.getFileName().toString(), Content.of(file));
      }
    }
    AtomicFile.writeText(
        folder.resolve(NAME), GSON.toJson(new CheckpointManifest(FORMAT, step, files)) + "\n");
  }

  /**
   * Reads a manifest and every file it names.
   *
   * @throws IOException if something is not as it says: names the file, what was found and what was
   *     expected
   */
  static void verify(Path folder, int step) throws IOException {
    Path file = folder.resolve(NAME);
    if (!Files.exists(file)) {
      throw new IOException("found no " + NAME);
    }
    CheckpointManifest manifest = read(file);
    if (manifest.format != FORMAT) {
      throw new IOException(NAME + ": found format " + manifest.format + ", expected " + FORMAT);
    }
    if (manifest.step != step) {
      throw new IOException(NAME + ": found step " + manifest.step + ", expected " + step);
    }
    for (Map.Entry<String, Content> entry : manifest.files.entrySet()) {
      String name = entry.getKey();
      Content expected = entry.getValue();
      if (!Files.exists(folder.resolve(name))) {
        throw new IOException(name + ": found no such file, expected " + expected.bytes + " bytes");
      }
      Content found = Content.of(folder.resolve(name));
      if (found.bytes != expected.bytes) {
        throw new IOException(
            name + ": found " + found.bytes + " bytes, expected " + expected.bytes);
      }
      if (!found.sha256.equals(expected.sha256)) {
        throw new IOException(
            name + ": found SHA-256 " + found.sha256 + ", expected " + expected.sha256);
      }
    }
  }

  private static CheckpointManifest read(Path file) throws IOException {
    // By its name alone: whoever asks for the check says in which folder.
    String text = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
    JsonFields json = JsonFields.of(file.getFileName(), "", text);
    JsonFields listed = json.object("files");
    Map<String, Content> files = new TreeMap<>();
    for (String name : listed.keys()) {
      JsonFields content = listed.object(name);
      files.put(name, new Content((long) content.number("bytes"), content.text("sha256")));
    }
    return new CheckpointManifest(json.integer("format"), json.integer("step"), files);
  }
}
