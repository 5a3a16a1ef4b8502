package org.sightline.binding;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Loader;

/**
 * The folder in which the native libraries of the jars lie unpacked, for JavaCPP to load.
 *
 * <p>Left alone, JavaCPP unpacks one library after the other while it loads them. A library that is
 * whole is then opened beside one it depends on that another process, or one that was killed, has
 * half written: the JVM dies of SIGBUS. It takes a file of the same size and time for the same
 * file, and trusts a folder below the one for temporary files that anyone may have made. Here a
 * folder has the name of its content, appears whole or not at all, and belongs to this user alone.
 */
public final class NativeCache {
  /** JavaCPP's own: the folder in which libraries are unpacked. */
  private static final String PROPERTY = "org.bytedeco.javacpp.cachedir";

  private static final String IN_USE = ".in-use";
  private static final String HALF = "half";
  private static final String PROBE = "owner";
  private static final Set<PosixFilePermission> PRIVATE =
      PosixFilePermissions.fromString("rwx------");

  /** Its shared lock says, for the life of this process, that the folder is not to be removed. */
  private static FileChannel inUse;

  private static Path home;

  private NativeCache() {}

  /**
   * Makes JavaCPP load from here, unless it has loaded something already, or is to use a folder
   * that cannot be written to: then somebody has filled it. The first call may take seconds.
   */
  public static synchronized void install() throws IOException {
    String chosen = System.getProperty(PROPERTY);
    boolean readOnly =
        chosen != null && Files.isDirectory(Path.of(chosen)) && !Files.isWritable(Path.of(chosen));
    if (readOnly || !Loader.getLoadedLibraries().isEmpty()) {
      return;
    }
    Path home = home();
    boolean interrupted = Thread.interrupted(); // Such a thread could not wait for a lock.
    try {
      System.setProperty(PROPERTY, provide(home).toString());
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }

  /** This user's folder for what is unpacked: in the first place that can be had of JavaCPP's. */
  public static synchronized Path home() throws IOException {
    if (home == null) {
      home = findHome();
    }
    return home;
  }

  private static Path findHome() throws IOException {
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

  /** A folder that nobody else can have put anything into, made if it is not there. */
  static Path privateFolder(Path parent, String name) throws IOException {
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

  private static Path provide(Path home) throws IOException {
    Map<JarFile, List<JarEntry>> libraries = libraries();
    Path folder = home.resolve(key(libraries));
    try (FileChannel channel =
        FileChannel.open(
            home.resolve(".lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
      boolean there = use(folder);
      FileLock lock = there ? channel.tryLock() : channel.lock();
      if (lock != null) {
        sweepHalves(home);
      }
      if (!there && !use(folder)) {
        sweep(home);
        Path half = Files.createTempDirectory(home, HALF);
        try {
          for (Map.Entry<JarFile, List<JarEntry>> jar : libraries.entrySet()) {
            for (JarEntry entry : jar.getValue()) {
              unpack(jar.getKey(), entry, half);
            }
          }
          Files.createFile(half.resolve(IN_USE));
          Files.move(half, folder, StandardCopyOption.ATOMIC_MOVE);
        } finally {
          delete(half);
        }
        use(folder);
      }
    }
    return folder;
  }

  private static boolean use(Path folder) throws IOException {
    Path mark = folder.resolve(IN_USE);
    if (!Files.exists(mark)) {
      return false;
    }
    try {
      inUse = FileChannel.open(mark, StandardOpenOption.READ);
    } catch (NoSuchFileException e) {
      return false;
    }
    inUse.lock(0, Long.MAX_VALUE, true);
    return Files.exists(mark); // It may have been swept away meanwhile.
  }

  /** Removes what killed processes left, which nobody is at while this one has the lock. */
  private static void sweepHalves(Path home) throws IOException {
    List<Path> files;
    try (Stream<Path> all = Files.list(home)) {
      files = all.toList();
    }
    for (Path file : files) {
      String name = file.getFileName().toString();
      boolean half = name.startsWith(HALF) || name.matches("[0-9a-f]{16}");
      try {
        if (half && Files.isDirectory(file) && !Files.exists(file.resolve(IN_USE))) {
          delete(file);
        } else if (name.startsWith(PROBE) && isOld(file)) {
          Files.delete(file);
        }
      } catch (IOException e) {
        // It stays, or has gone: no reason not to start.
      }
    }
  }

  /** A probe is there for an instant, whoever has the lock. */
  private static boolean isOld(Path probe) throws IOException {
    return Files.getLastModifiedTime(probe).toMillis() < System.currentTimeMillis() - 60_000;
  }

  /** Removes the folders of other contents that nobody uses. */
  private static void sweep(Path home) throws IOException {
    List<Path> folders;
    try (Stream<Path> files = Files.list(home)) {
      folders = files.filter(Files::isDirectory).toList();
    }
    for (Path other : folders) {
      Path mark = other.resolve(IN_USE);
      if (Files.exists(mark)) {
        try (FileChannel channel = FileChannel.open(mark, StandardOpenOption.WRITE);
            FileLock lock = channel.tryLock()) {
          if (lock != null) {
            Files.delete(mark); // First: without it a folder is not used, should this be killed.
            delete(other);
          }
        }
      }
    }
  }

  private static void delete(Path tree) throws IOException {
    if (!Files.exists(tree)) {
      return;
    }
    try (Stream<Path> files = Files.walk(tree)) {
      for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(file);
      }
    }
  }

  /** Every library of this platform in the jars that hold packages of JavaCPP's or of ours. */
  private static Map<JarFile, List<JarEntry>> libraries() throws IOException {
    Pattern library =
        Pattern.compile(
            ".*/"
                + Pattern.quote(Loader.getPlatform())
                + "[^/]*/[^/]+\\.(so(\\.[0-9.]+)?|dylib|jnilib|dll)");
    List<URL> packages = new ArrayList<>();
    for (String name : List.of("org/bytedeco/", "org/sightline/binding/")) {
      packages.addAll(Collections.list(NativeCache.class.getClassLoader().getResources(name)));
    }
    Map<JarFile, List<JarEntry>> libraries = new TreeMap<>(Comparator.comparing(JarFile::getName));
    for (URL url : packages) {
      if (url.openConnection() instanceof JarURLConnection connection) {
        JarFile jar = connection.getJarFile();
        libraries.put(
            jar, jar.stream().filter(entry -> library.matcher(entry.getName()).matches()).toList());
      }
    }
    return libraries;
  }

  /** JavaCPP's checks are part of it: times, which depend on the time zone, and names. */
  private static String key(Map<JarFile, List<JarEntry>> libraries) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      libraries.forEach(
          (jar, entries) ->
              entries.forEach(
                  e -> {
                    String line = e.getSize() + " " + e.getCrc() + " " + e.getTime() + "\n";
                    digest.update((place(jar, e) + " " + line).getBytes(StandardCharsets.UTF_8));
                  }));
      return HexFormat.of().formatHex(digest.digest(), 0, 8);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // Every JDK has SHA-256.
    }
  }

  /** Where JavaCPP looks for a library, below its folder. */
  private static Path place(JarFile jar, JarEntry entry) {
    return Path.of(Path.of(jar.getName()).getFileName().toString(), entry.getName());
  }

  private static void unpack(JarFile jar, JarEntry entry, Path into) throws IOException {
    Path file = into.resolve(place(jar, entry));
    Files.createDirectories(file.getParent());
    try (InputStream in = jar.getInputStream(entry)) {
      Files.copy(in, file);
    }
    Files.setLastModifiedTime(file, FileTime.fromMillis(entry.getTime()));
  }
}
