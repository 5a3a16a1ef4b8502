package org.sightline.vla.data.rlds;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.sightline.formats.tfrecord.CorruptRecordException;

/** What a dataset leaves out, each episode and step counted once. Thread-safe. */
public final class LeftOut {
  /** How many messages are kept; the rest is only counted. */
  public static final int MESSAGES = 20;

  private final CorruptRecords policy;
  private final List<String> messages = new ArrayList<>();
  private final Set<Step.Origin> records = new HashSet<>();
  private final Set<Step.Origin> images = new HashSet<>();
  private final Set<Integer> empty = new HashSet<>();
  private final Set<Integer> unlabelled = new HashSet<>();
  private final Map<Integer, Integer> unlabelledSteps = new HashMap<>();
  private long lost;

  public LeftOut(CorruptRecords policy) {
    this.policy = policy;
  }

  /** Whether the first corrupt record is thrown or all are counted. */
  public CorruptRecords policy() {
    return policy;
  }

  /** Episodes whose records cannot be read. */
  public synchronized long records() {
    return lost + records.size();
  }

  /** Steps whose image cannot be decoded, which shows when they are drawn. */
  public synchronized long images() {
    return images.size();
  }

  /** The first messages about what cannot be read, each naming file, record and byte offset. */
  public synchronized List<String> messages() {
    return List.copyOf(messages);
  }

  /** All counts by name; zeros are among them. */
  public synchronized Map<String, Long> counts() {
    Map<String, Long> counts = new LinkedHashMap<>();
    counts.put("unreadable_episodes", records());
    counts.put("unlabelled_episodes", (long) unlabelled.size());
    counts.put("empty_episodes", (long) empty.size());
    counts.put("unlabelled_steps", unlabelledSteps.values().stream().mapToLong(n -> n).sum());
    counts.put("unreadable_images", images());
    return counts;
  }

  /** A line for people, with the first message; empty if nothing was left out. */
  public synchronized String describe() {
    Map<String, String> names =
        Map.of(
            "unlabelled_episodes", "episodes without instruction",
            "empty_episodes", "episodes without steps",
            "unlabelled_steps", "single steps without instruction");
    String line =
        counts().entrySet().stream()
            .filter(entry -> entry.getValue() > 0)
            .map(
                entry ->
                    names.getOrDefault(entry.getKey(), entry.getKey().replace('_', ' '))
                        + " "
                        + entry.getValue())
            .collect(Collectors.joining(", "));
    return messages.isEmpty() ? line : line + "; first unreadable: " + messages.get(0);
  }

  /** Counts what a scan found of an episode. */
  public synchronized void scanned(int episode, int steps, int labelled) {
    if (steps == 0) {
      empty.add(episode);
    } else if (labelled == 0) {
      unlabelled.add(episode);
    } else if (labelled < steps) {
      unlabelledSteps.put(episode, steps - labelled);
    }
  }

  /** Throws, or counts a record. */
  public void record(CorruptRecordException problem) throws CorruptRecordException {
    throwUnlessSkipped(problem);
    var place = new Step.Origin(problem.file(), problem.record(), problem.offset(), 0);
    synchronized (this) {
      if (records.add(place)) {
        keep(problem.getMessage());
      }
    }
  }

  /** Throws, or counts the rest of a shard, where one problem hides {@code count} records. */
  public void rest(long count, CorruptRecordException problem) throws CorruptRecordException {
    throwUnlessSkipped(problem);
    synchronized (this) {
      lost += count;
      keep(problem.getMessage());
    }
  }

  /** Throws, or counts one step's image. */
  public void image(Step.Origin origin, CorruptRecordException problem)
      throws CorruptRecordException {
    throwUnlessSkipped(problem);
    synchronized (this) {
      if (images.add(origin)) {
        keep(problem.getMessage());
      }
    }
  }

  private void throwUnlessSkipped(CorruptRecordException problem) throws CorruptRecordException {
    if (policy == CorruptRecords.FAIL) {
      throw problem;
    }
  }

  private void keep(String message) {
    if (messages.size() < MESSAGES) {
      messages.add(message);
    }
  }
}
