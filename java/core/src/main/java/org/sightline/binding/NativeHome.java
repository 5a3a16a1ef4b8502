package org.sightline.binding;

import java.io.File;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * This user's folder for what is unpacked of the jars: one that nobody else can have put anything
 * into, for code is loaded from it.
 */
final class NativeHome {
  /** JavaCPP's own: the folder in which libraries are unpacked. */
  static final String PROPERTY = "org.bytedeco.javacpp.cachedir";

  /** Begins the names of files that are there for an instant, to tell who this user is. */
  static final String PROBE = "owner";

  private static final Set<PosixFilePermission> PRIVATE =
      PosixFilePermissions.fromString("rwx------");

  private NativeHome() {}

  /** In the first of JavaCPP's places where it can be had. */
  static Path find() throws IOException {
    String user = System.getProperty("user.home");
    List<String> places = new ArrayList<>();
    places.add(System.getProperty(PROPERTY));
    places.add(new File(user).isAbsolute() ? user + "/.javacpp/cache" : null); // "?" if unknown.
    places.add(System.getProperty("java.io.tmpdir"));
    StringBuilder failures = new StringBuilder();
    for (String place : places) {
      if (place != null) {
        try {
          return privateFolder(
              Path.of(place).toAbsolutePath(), "sightline-" + System.getProperty("user.name"));
        } catch (FileSystemException e) {
          String reason = e.getReason();
          failures.append("; ").append(e.getFile()).append(": ");
          failures.append(
              reason == null ? "cannot be used, " + e.getClass().getSimpleName() : reason);
        } catch (InvalidPathException e) {
          failures.append("; ").append(e.getMessage());
        }
      }
    }
    throw new IOException(
        "no folder to unpack native libraries to: -D" + PROPERTY + "=DIR names another" + failures);
  }

  private static Path privateFolder(Path parent, String name) throws IOException {
    Files.createDirectories(parent);
    Path folder = parent.toRealPath().resolve(name);
    boolean posix = Files.getFileStore(parent).supportsFileAttributeView("posix");
    if (posix) {
      Files.createDirectories(folder, PosixFilePermissions.asFileAttribute(PRIVATE));
    } else {
      Files.createDirectories(folder);
    }
    if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)) {
      throw new FileSystemException(folder.toString(), null, "a link or file, expected a folder");
    }
    Path mine = Files.createTempFile(folder, PROBE, null);
    try {
      if (!Files.getOwner(folder).equals(Files.getOwner(mine))) {
        throw new FileSystemException(
            folder.toString(), null, "belongs to " + Files.getOwner(folder) + ", not to this user");
      }
    } finally {
      Files.delete(mine);
    }
    if (posix && !Files.getPosixFilePermissions(folder).equals(PRIVATE)) {
      String found = PosixFilePermissions.toString(Files.getPosixFilePermissions(folder));
      throw new FileSystemException(
          folder.toString(), null, "is open to others (" + found + "), expected rwx------");
    }
    return folder;
  }
}
