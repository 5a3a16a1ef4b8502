package org.sightline.distributed;

import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import org.sightline.Checks;

/**
 * Which of how many processes this one is, and where they meet: what torchrun and other launchers
 * put into the environment.
 *
 * @param rank of this process, from 0 to {@code worldSize - 1}
 * @param worldSize number of processes
 * @param localRank of this process among those of its machine: the GPU it should take
 * @param masterAddress host on which rank 0 listens
 * @param masterPort TCP port there
 * @param agentRun the name of this start in a store that the launcher keeps at that address; empty:
 *     rank 0 keeps the store
 * @param timeout of the meeting and of each collective call
 */
public record Rendezvous(
    int rank,
    int worldSize,
    int localRank,
    String masterAddress,
    int masterPort,
    String agentRun,
    Duration timeout) {
  /** torch's own for Gloo. */
  public static final Duration DEFAULT_TIMEOUT = Duration.ofMinutes(30);

  /**
   * @throws IllegalArgumentException that names the component and what it must be
   */
  public Rendezvous {
    Checks.atLeast("worldSize", worldSize, 1);
    Checks.index("rank", rank, worldSize - 1);
    Checks.index("localRank", localRank, worldSize - 1);
    Checks.index("masterPort", masterPort, 65_535);
    Checks.atLeast("masterPort", masterPort, 1);
    Checks.atLeast("timeout in milliseconds", timeout.toMillis(), 1);
    if (masterAddress.isBlank()) {
      throw new IllegalArgumentException("masterAddress must be a host, found none");
    }
  }

  /** On one machine, where rank and local rank are the same. */
  public static Rendezvous local(int rank, int worldSize, int port, Duration timeout) {
    return new Rendezvous(rank, worldSize, rank, "127.0.0.1", port, "", timeout);
  }

  /**
   * From the variables RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
   *
   * @return empty if none of them is set: the process is alone
   * @throws IllegalArgumentException if some are set and others not, or a value makes no sense; the
   *     message names the variable
   */
  public static Optional<Rendezvous> fromEnvironment() {
    return from(System.getenv());
  }

  static Optional<Rendezvous> from(Map<String, String> environment) {
    String[] names = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"};
    int set = 0;
    String missing = null;
    for (String name : names) {
      if (environment.containsKey(name)) {
        set++;
      } else {
        missing = name;
      }
    }
    if (set == 0) {
      return Optional.empty();
    }
    if (missing != null) {
      throw new IllegalArgumentException(
          missing + " must be set where others of " + String.join(", ", names) + " are");
    }
    int world = number(environment, "WORLD_SIZE", 1, Integer.MAX_VALUE);
    boolean agent = "True".equals(environment.get("TORCHELASTIC_USE_AGENT_STORE"));
    return Optional.of(
        new Rendezvous(
            number(environment, "RANK", 0, world - 1),
            world,
            number(environment, "LOCAL_RANK", 0, world - 1),
            environment.get("MASTER_ADDR"),
            number(environment, "MASTER_PORT", 1, 65_535),
            agent ? "sightline/" + environment.getOrDefault("TORCHELASTIC_RESTART_COUNT", "0") : "",
            DEFAULT_TIMEOUT));
  }

  private static int number(Map<String, String> environment, String name, int least, int most) {
    String text = environment.get(name);
    try {
      int value = Integer.parseInt(text);
      if (value >= least && value <= most) {
        return value;
      }
    } catch (NumberFormatException e) {
      // Said below.
    }
    throw new IllegalArgumentException(
        "%s must be a whole number in %d..%d, found \"%s\"".formatted(name, least, most, text));
  }

  /** The same with another time limit. */
  public Rendezvous withTimeout(Duration limit) {
    return new Rendezvous(rank, worldSize, localRank, masterAddress, masterPort, agentRun, limit);
  }

  /** Host and port, for messages. */
  String address() {
    return masterAddress + ":" + masterPort;
  }
}
