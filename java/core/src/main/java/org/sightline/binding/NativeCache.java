package org.sightline.binding;

import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Loader;
import org.sightline.formats.file.AtomicFolder;
import org.sightline.formats.file.Sha256;

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
  private static final String IN_USE = ".in-use";
  private static final String HALF = "half";

  /** Its shared lock says, for the life of this process, that the folder is not to be removed. */
  private static FileChannel inUse;

  private NativeCache() {}

  /**
   * Makes JavaCPP load from here, unless it has loaded something already, or is to use a folder
   * that cannot be written to: then somebody has filled it. The first call may take seconds.
   */
  public static synchronized void install() throws IOException {
    String chosen = System.getProperty(NativeHome.PROPERTY);
    boolean readOnly =
        chosen != null && Files.isDirectory(Path.of(chosen)) && !Files.isWritable(Path.of(chosen));
    if (readOnly || !Loader.getLoadedLibraries().isEmpty()) {
      return;
    }
    Path home = NativeHome.find();
    boolean interrupted = Thread.interrupted(); // Such a thread could not wait for a lock.
    try {
      System.setProperty(NativeHome.PROPERTY, provide(home).toString());
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
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
          AtomicFolder.delete(half);
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
          AtomicFolder.delete(file);
        } else if (name.startsWith(NativeHome.PROBE) && isOld(file)) {
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
            AtomicFolder.delete(other);
          }
        }
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
    MessageDigest digest = Sha256.begin();
    libraries.forEach(
        (jar, entries) ->
            entries.forEach(
                e -> {
                  String line = e.getSize() + " " + e.getCrc() + " " + e.getTime() + "\n";
                  digest.update((place(jar, e) + " " + line).getBytes(StandardCharsets.UTF_8));
                }));
    return Sha256.hex(digest).substring(0, 16);
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
