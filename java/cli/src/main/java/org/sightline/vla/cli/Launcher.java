package org.sightline.vla.cli;

import java.io.File;
import java.io.IOException;
import java.net.URISyntaxException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.jar.JarFile;
import org.sightline.formats.Printable;

/** What {@code java -jar} starts: {@link Main}, if the libraries that it is made of are there. */
public final class Launcher {
  private Launcher() {}

  public static void main(String[] args) throws IOException {
    File jar = home();
    if (jar.isFile()) {
      List<String> missing = missing(jar);
      if (!missing.isEmpty()) {
        System.err.printf(
            Locale.ROOT,
            "sightline: %s needs its libraries beside it, found no %s%s: copy the folder lib too%n",
            jar,
            missing.get(0),
            missing.size() > 1 ? " and %d more".formatted(missing.size() - 1) : "");
        System.exit(2);
      }
    }
    Main.main(args);
  }

  private static List<String> missing(File jar) throws IOException {
    try (JarFile file = new JarFile(jar)) {
      String path = file.getManifest().getMainAttributes().getValue("Class-Path");
      return Arrays.stream(path.split(" "))
          .filter(entry -> !new File(jar.toURI().resolve(entry)).exists())
          .toList();
    }
  }

  /** How this program was started, to be typed again. */
  static String command() {
    String classPath = System.getProperty("java.class.path");
    return new File(classPath).getAbsoluteFile().equals(home())
        ? "java -jar " + quoted(classPath)
        : "java -cp ... " + Main.class.getName();
  }

  /** One argument of a command, as a shell takes it. */
  static String quoted(String argument) {
    if (argument.matches("[\\w./:=,+-]+")) {
      return argument;
    }
    String printable = Printable.of(argument.replace("\\", "\\\\"));
    return Printable.of(argument).equals(argument)
        ? "'" + argument.replace("'", "'\\''") + "'"
        : "$'" + printable.replace("'", "\\'") + "'"; // Of bash, zsh, ksh and POSIX 2024.
  }

  /** The jar, or the folder, that these classes are in. */
  private static File home() {
    try {
      return new File(Launcher.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e); // Java itself made it.
    }
  }
}
