package org.sightline.train.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.Consumer;

/** Saves a run where its configuration says so, and restores it; without a store does nothing. */
public final class RunCheckpoints {
  private final CheckpointStore store;
  private final int interval;
  private final List<Checkpointable> parts;
  private int savedAt = -1;
  private int takenAtSave;

  /**
   * @param store null for no checkpoints
   * @param identity of the run, unless the store has one
   * @param parts all that the run is
   */
  public RunCheckpoints(
      CheckpointStore store, RunIdentity identity, int interval, List<Checkpointable> parts) {
    boolean nameless = store != null && store.identity().values().isEmpty();
    this.store = nameless ? store.of(identity) : store;
    this.interval = interval;
    this.parts = parts;
  }

  /** Restores the newest checkpoint that is good; empty if there is none. */
  public OptionalInt restore(Consumer<String> warnings) {
    if (store == null) {
      return OptionalInt.empty();
    }
    try {
      OptionalInt step = store.restore(parts, warnings);
      step.ifPresent(found -> savedAt = found);
      return step;
    } catch (IOException e) {
      throw new UncheckedIOException(e.getMessage(), e);
    }
  }

  /** The run begins, or goes on, with so many steps that changed something. */
  public void begin(int taken) {
    takenAtSave = taken;
  }

  public boolean isDue(int step) {
    return store != null && interval > 0 && step % interval == 0;
  }

  /** Saves unless nothing has changed since the last time: a good checkpoint would go for it. */
  public void saveIfLearnt(int step, int taken) {
    if (taken > takenAtSave) {
      save(step);
      takenAtSave = taken;
    }
  }

  /** After a run has diverged: if nothing could be learnt from the newest checkpoint, it is bad. */
  public void setAsideIfUseless(int taken) {
    if (savedAt >= 0 && taken == takenAtSave) {
      try {
        store.setAside(savedAt);
      } catch (IOException e) {
        throw new UncheckedIOException(e.getMessage(), e);
      }
    }
  }

  /** At the end of a run, for the case that it is to go on later. */
  public void saveLast(int step) {
    if (savedAt != step) {
      save(step);
    }
  }

  private void save(int step) {
    if (store == null) {
      return;
    }
    // An interrupt closes the files under our hands; it is for the caller of the run to see.
    boolean interrupted = Thread.interrupted();
    try {
      store.save(step, parts);
      savedAt = step;
    } catch (IOException e) {
      if (!Thread.interrupted()) {
        throw new UncheckedIOException(e.getMessage(), e);
      }
      interrupted = true;
      save(step);
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
