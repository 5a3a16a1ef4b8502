package org.sightline.vla.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;

/** What becomes of a command whose result could not be printed. */
final class StandardOutput {
  /** Of a process that ended on SIGPIPE, as Unix tools do, without a word, if nobody reads on. */
  static final int CLOSED = 141;

  private StandardOutput() {}

  /** The exit code of a command that has ended with {@code code}. */
  static int check(PrintWriter out, PrintWriter err, int code) {
    if (!out.checkError() || code != 0) {
      return code;
    }
    if (isPipe()) {
      return CLOSED;
    }
    err.println(
        "sightline: standard output cannot be written to (a full disk?), the result is lost");
    err.flush();
    return Errors.USER;
  }

  private static boolean isPipe() {
    try {
      String target = Files.readSymbolicLink(Path.of("/proc/self/fd/1")).toString();
      return target.startsWith("pipe:") || target.startsWith("socket:");
    } catch (IOException | UnsupportedOperationException e) {
      return false;
    }
  }
}
