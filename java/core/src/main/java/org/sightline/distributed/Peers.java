package org.sightline.distributed;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.javacpp.chrono.Milliseconds;
import org.bytedeco.pytorch.PrefixStore;
import org.bytedeco.pytorch.Store;
import org.bytedeco.pytorch.StringVector;
import org.bytedeco.pytorch.TCPStore;
import org.bytedeco.pytorch.TCPStoreOptions;
import org.sightline.binding.Scopes;

/**
 * The processes of a group as a store knows them: each signs in, and shows once a second that it is
 * alive, so that a call that failed can say who is not.
 */
final class Peers implements AutoCloseable {
  private static final Duration BEAT = Duration.ofSeconds(1);

  private final Rendezvous where;
  private final Store store;
  private final Thread heart;

  private Peers(Rendezvous where, Store store) {
    this.where = where;
    this.store = store;
    this.heart = new Thread(this::beat, "heartbeat of rank " + where.rank());
    heart.setDaemon(true);
  }

  /**
   * Meets the others.
   *
   * @throws DistributedException if they do not come in time, or disagree on how many they are
   */
  static Peers meet(Rendezvous where) {
    Peers peers = new Peers(where, connect(where, where.rank() == 0));
    try {
      peers.signIn();
      peers.heart.start();
      return peers;
    } catch (RuntimeException e) {
      peers.close();
      throw e;
    }
  }

  Store store() {
    return store;
  }

  private static Store connect(Rendezvous where, boolean first) {
    boolean server = first && where.agentRun().isEmpty();
    try (PointerScope scope = new PointerScope()) {
      TCPStoreOptions options =
          new TCPStoreOptions()
              .port((short) where.masterPort())
              .isServer(server)
              .waitWorkers(false)
              .timeout(new Milliseconds(where.timeout().toMillis()));
      Store store = new TCPStore(where.masterAddress(), options);
      return Scopes.own(
          where.agentRun().isEmpty() ? store : new PrefixStore(where.agentRun(), store));
    } catch (RuntimeException e) {
      throw new DistributedException(
          "rank %d of %d cannot %s %s: %s"
              .formatted(
                  where.rank(),
                  where.worldSize(),
                  server ? "listen on" : "reach rank 0 at",
                  where.address(),
                  firstLine(e)),
          e);
    }
  }

  private void signIn() {
    try {
      signInWithStore();
    } catch (DistributedException e) {
      throw e;
    } catch (RuntimeException e) {
      throw refusal("rank 0 ended the meeting", e);
    }
  }

  private void signInWithStore() {
    int world = where.worldSize();
    if (store.add("joined/" + where.rank(), 1) > 1) {
      throw refusal("rank %d is taken by another process".formatted(where.rank()), null);
    }
    store.set("world/" + where.rank(), Integer.toString(world));
    // Asked again and again: a wait that fails takes seconds to describe libtorch's stack, and
    // prints it.
    long start = System.nanoTime();
    List<Integer> absent = absent();
    while (!absent.isEmpty()) {
      if (System.nanoTime() - start > where.timeout().toNanos()) {
        throw refusal(
            "%s did not come within %s ms".formatted(named(absent), where.timeout().toMillis()),
            null);
      }
      pause(20);
      absent = absent();
    }
    for (int rank = 0; rank < world; rank++) {
      String found = store.get_to_str("world/" + rank);
      if (!found.equals(Integer.toString(world))) {
        throw refusal("rank %d counts %s processes".formatted(rank, found), null);
      }
    }
  }

  private DistributedException refusal(String found, Throwable cause) {
    return new DistributedException(
        "rank %d of %d at %s: %s"
            .formatted(where.rank(), where.worldSize(), where.address(), found),
        cause);
  }

  /**
   * What to throw in place of a collective call's failure.
   *
   * @param call what was called
   */
  DistributedException failure(String call, RuntimeException cause) {
    String found;
    try {
      long[] before = beats();
      pause(3 * BEAT.toMillis());
      long[] after = beats();
      List<Integer> silent = ranks(rank -> before[rank] == after[rank]);
      found =
          silent.isEmpty()
              ? "all processes are alive; one may take longer than the timeout of %s ms"
                  .formatted(where.timeout().toMillis())
              : named(silent) + " ended or does not answer";
    } catch (IllegalStateException e) {
      found = e.getMessage();
    } catch (RuntimeException e) {
      found = "rank 0, at " + where.address() + ", ended or cannot be reached";
    }
    return new DistributedException(
        "rank %d of %d: %s failed, %s (%s)"
            .formatted(where.rank(), where.worldSize(), call, found, firstLine(cause)),
        cause);
  }

  private long[] beats() {
    return IntStream.range(0, where.worldSize())
        .mapToLong(rank -> store.add("alive/" + rank, 0))
        .toArray();
  }

  /** On a connection of its own: a call that waits keeps the other for itself. */
  private void beat() {
    try (Store own = connect(where, false)) {
      while (true) {
        own.add("alive/" + where.rank(), 1);
        pause(BEAT.toMillis());
      }
    } catch (RuntimeException e) {
      // Closed, or rank 0 is gone: the next call says so.
    }
  }

  private List<Integer> absent() {
    return ranks(
        rank -> {
          try (StringVector name = new StringVector("world/" + rank)) {
            return !store.check(name);
          }
        });
  }

  private static void pause(long milliseconds) {
    try {
      Thread.sleep(milliseconds);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while waiting for other processes", e);
    }
  }

  private List<Integer> ranks(java.util.function.IntPredicate which) {
    List<Integer> found = new ArrayList<>();
    for (int rank = 0; rank < where.worldSize(); rank++) {
      if (rank != where.rank() && which.test(rank)) {
        found.add(rank);
      }
    }
    return found;
  }

  private static String named(List<Integer> ranks) {
    return (ranks.size() == 1 ? "rank " : "ranks ")
        + ranks.stream().map(String::valueOf).collect(Collectors.joining(", "));
  }

  private static String firstLine(Throwable failure) {
    String message = String.valueOf(failure.getMessage());
    return message.lines().findFirst().orElse("").replaceFirst("^\\[[^\\]]*\\] ", "");
  }

  /** Rank 0's store ends with it. */
  @Override
  public void close() {
    heart.interrupt();
    try {
      heart.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    store.close();
  }
}
