package org.sightline.binding;

import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/**
 * What Java cannot reach of its process: the C environment, where libgomp and OpenBLAS read their
 * settings when they are loaded, C's exit handlers, and the loader's reasons. A library of its own,
 * so that it can be loaded before them.
 */
@Platform(
    include = {"<stdlib.h>", "open_library.h", "process_exit.h"},
    library = "jnisightline_environment")
public final class Environment {
  static {
    Loader.load(Environment.class);
  }

  private Environment() {}

  /** POSIX {@code setenv}; returns 0 on success. */
  @NoException
  public static native int setenv(String name, String value, int overwrite);

  /** ISO C {@code getenv}: the value, or null if the variable is not set. */
  @NoException
  public static native String getenv(String name);

  /**
   * From now on the process ends at once, with the exit code it was to have, where C's exit
   * handlers would begin while other threads are at work: before those that are registered so far.
   *
   * @return 0 on success
   */
  @NoException
  @Name("sightline_guard_exit")
  public static native int guardExit();

  /**
   * Opens a library and all that it needs, for the life of the process.
   *
   * @return null, or why it cannot be opened
   */
  @NoException
  @Name("sightline_open_library")
  public static native String openLibrary(String path);
}
