package org.sightline.train.checkpoint;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.InputFile;
import org.sightline.formats.file.Sha256;
import org.sightline.formats.json.JsonFields;

/**
 * What a checkpoint's folder must hold, so that a damaged one is told from a good one.
 *
 * @param format of the folder; other numbers are of other versions of Sightline
 * @param step optimizer steps done
 * @param identity of the run
 * @param identitySha256 of its names and values, so that damage is not taken for another run
 * @param files all but the manifest, by name
 */
record CheckpointManifest(
    int format,
    int step,
    Map<String, String> identity,
    String identitySha256,
    Map<String, Content> files) {
  static final String NAME = "manifest.json";
  private static final int FORMAT = 1;
  private static final Gson GSON =
      new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create();

  /**
   * @param sha256 in lower-case hexadecimal
   */
  record Content(long bytes, String sha256) {
    static Content of(Path file) throws IOException {
      MessageDigest digest = Sha256.begin();
      byte[] buffer = new byte[1 << 16];
      long bytes = 0;
      try (InputStream in = Files.newInputStream(InputFile.require(file))) {
        for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
          digest.update(buffer, 0, read);
          bytes += read;
        }
      }
      return new Content(bytes, Sha256.hex(digest));
    }
  }

  /** Describes the files of a folder and writes that beside them. */
  static void write(Path folder, int step, RunIdentity identity) throws IOException {
    AtomicFile.writeText(
        folder.resolve(NAME),
        GSON.toJson(
                new CheckpointManifest(
                    FORMAT, step, identity.values(), digest(identity.values()), contents(folder)))
            + "\n");
  }

  private static String digest(Map<String, String> identity) {
    MessageDigest digest = Sha256.begin();
    digest.update(GSON.toJson(identity).getBytes(StandardCharsets.UTF_8));
    return Sha256.hex(digest);
  }

  /** Of what a checkpoint is read from; a note that somebody left beside it is not looked at. */
  private static Map<String, Content> contents(Path folder) throws IOException {
    Map<String, Content> files = new TreeMap<>();
    try (Stream<Path> list = Files.list(folder)) {
      for (Path file : list.filter(CheckpointParts::isRead).toList()) {
        files.put(file.getFileName().toString(), Content.of(file));
      }
    }
    return files;
  }

  /**
   * Reads a manifest and all that a checkpoint is read from.
   *
   * @return the identity of the run it is of
   * @throws IOException if something is not as it says: names the file, what was found and what was
   *     expected
   */
  static RunIdentity verify(Path folder, int step) throws IOException {
    CheckpointManifest manifest = read(folder);
    if (manifest.format != FORMAT) {
      throw new IOException(NAME + ": found format " + manifest.format + ", expected " + FORMAT);
    }
    if (manifest.step != step) {
      throw new IOException(NAME + ": found step " + manifest.step + ", expected " + step);
    }
    // By the names that are there: one that the manifest makes up need not be a path at all.
    Map<String, Content> found = contents(folder);
    Set<String> names = new TreeSet<>(manifest.files.keySet());
    names.addAll(found.keySet());
    for (String name : names) {
      require(name, found.get(name), manifest.files.get(name));
    }
    return new RunIdentity(manifest.identity);
  }

  private static void require(String name, Content found, Content expected) throws IOException {
    if (found == null) {
      throw new IOException(name + ": found no such file, expected " + expected.bytes + " bytes");
    }
    if (expected == null) {
      throw new IOException(name + ": found a file, expected none of that name");
    }
    if (found.bytes != expected.bytes) {
      throw new IOException(name + ": found " + found.bytes + " bytes, expected " + expected.bytes);
    }
    if (!found.sha256.equals(expected.sha256)) {
      throw new IOException(
          name + ": found SHA-256 " + found.sha256 + ", expected " + expected.sha256);
    }
  }

  /** The manifest in a folder, whatever the other files there are. */
  static CheckpointManifest read(Path folder) throws IOException {
    Path file = folder.resolve(NAME);
    if (!Files.exists(file)) {
      throw new IOException("found no " + NAME);
    }
    // By its name alone: whoever asks for the check says in which folder.
    String text = InputFile.text(file);
    JsonFields json = JsonFields.of(file.getFileName(), "", text);
    JsonFields listed = json.object("files");
    Map<String, Content> files = new TreeMap<>();
    for (String name : listed.keys()) {
      JsonFields content = listed.object(name);
      files.put(name, new Content((long) content.number("bytes"), content.text("sha256")));
    }
    JsonFields noted = json.object("identity");
    Map<String, String> identity = new TreeMap<>();
    for (String name : noted.keys()) {
      identity.put(name, noted.text(name));
    }
    String sha256 = digest(identity);
    json.require("identitySha256", json.text("identitySha256"), sha256);
    return new CheckpointManifest(
        json.integer("format"), json.integer("step"), identity, sha256, files);
  }
}
