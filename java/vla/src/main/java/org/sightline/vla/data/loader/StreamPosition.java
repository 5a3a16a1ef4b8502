package org.sightline.vla.data.loader;

import com.google.gson.Gson;
import java.util.List;

/**
 * A place in a stream of batches, small and complete: a loader of the same data, split, seed,
 * shuffle buffer and shares continues from it with the very samples that would have come next.
 *
 * @param stream fingerprint of all that determines the order
 * @param batches how many batches were handed out before
 * @param parts for each set of episodes, how far it was drawn from
 */
public record StreamPosition(String stream, long batches, List<Part> parts) {
  /**
   * A place in one set.
   *
   * @param dataset its name
   * @param epoch full passes before
   * @param drawn steps drawn in the current pass, those left out as unreadable included
   */
  public record Part(String dataset, long epoch, long drawn) {}

  public StreamPosition {
    parts = List.copyOf(parts);
  }

  /** {@code {"stream": …, "batches": …, "parts": [{"dataset": …, "epoch": …, "drawn": …}]}}. */
  public String toJson() {
    return new Gson().toJson(this);
  }

  /**
   * Reads what {@link #toJson} wrote.
   *
   * @throws IllegalArgumentException if it is something else
   */
  public static StreamPosition fromJson(String json) {
    try {
      StreamPosition position = new Gson().fromJson(json, StreamPosition.class);
      if (position != null && position.stream() != null) {
        return position;
      }
    } catch (RuntimeException e) { // Gson wraps what the constructor throws.
      throw new IllegalArgumentException(message(json), e);
    }
    throw new IllegalArgumentException(message(json));
  }

  private static String message(String json) {
    return "position: found " + json + ", expected {\"stream\", \"batches\", \"parts\"}";
  }
}
