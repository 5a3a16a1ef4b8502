package org.sightline.vla.cli;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.IntSupplier;
import org.bytedeco.javacpp.Loader;
import org.sightline.binding.Environment;
import org.sightline.train.TrainingListener;

/**
 * How the process ends on a signal: its command is asked to end between two pieces of its work, and
 * has some time for that. Then the process ends with the signal's exit code, whatever is at work.
 */
final class Ending {
  /** Ends a command that was asked to end. */
  static final class Asked extends RuntimeException {
    private static final long serialVersionUID = 1;

    private Asked() {
      super("asked to end", null, false, false);
    }
  }

  /** Lets a run break off when its process is asked to end. */
  static final TrainingListener LISTENER =
      new TrainingListener() {
        @Override
        public boolean interruptRequested() {
          return asked;
        }
      };

  /** Of a process that ended on SIGINT; on a signal the system sets its own. */
  static final int INTERRUPTED = 130;

  private static final int SECONDS = 3;
  private static final int SECONDS_TO_SAVE = 60;

  private static volatile boolean asked;
  private static volatile boolean saves;

  private Ending() {}

  /** Runs the command of a process and returns its exit code. */
  static int of(IntSupplier command) {
    CountDownLatch ended = new CountDownLatch(1);
    try {
      Runtime.getRuntime().addShutdownHook(new Thread(() -> ask(ended), "ending"));
    } catch (IllegalStateException e) {
      return INTERRUPTED; // It ends before it has begun.
    }
    try {
      return command.getAsInt();
    } finally {
      ended.countDown();
    }
  }

  private static void ask(CountDownLatch ended) {
    asked = true;
    try {
      if (!ended.await(saves ? SECONDS_TO_SAVE : SECONDS, TimeUnit.SECONDS) && saves) {
        System.err.println(
            "sightline: a step took more than %d s and was broken off; finetune --resume goes on from"
                    .formatted(SECONDS_TO_SAVE)
                + " the checkpoint before it");
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    if (!Loader.getLoadedLibraries().isEmpty()) {
      Environment
          .guardExit(); // Once more: work that went on may have set up libraries' own handlers.
    }
  }

  /** From now on the command has something to save, and more time to come to that. */
  static void saves() {
    saves = true;
  }

  /** To be called between two pieces of work; what it throws is no error, and nothing is said. */
  static void check() {
    if (asked) {
      throw new Asked();
    }
  }
}
