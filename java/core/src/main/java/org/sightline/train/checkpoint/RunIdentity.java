package org.sightline.train.checkpoint;

import java.lang.reflect.RecordComponent;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * What makes two runs the same one: every setting and every content that decides their numbers.
 * Checkpoints keep it, so that a run does not go on from those of another.
 *
 * @param values by name, such as {@code optimizer.beta1}
 */
public record RunIdentity(Map<String, String> values) {
  public RunIdentity {
    values = Collections.unmodifiableMap(new TreeMap<>(values));
  }

  /**
   * All components of a record, those of the records in it under {@code NAME.NAME}. Only what is
   * named does not count, so that a component that is new does; and of a path only that there is
   * one, for it is what lies there that counts.
   *
   * @param free names that may differ
   * @throws IllegalArgumentException if a free name is none of a component
   */
  public static RunIdentity of(Record settings, Set<String> free) {
    Map<String, String> values = new TreeMap<>();
    Set<String> unknown = new TreeSet<>(free);
    put("", settings, free, unknown, values);
    if (!unknown.isEmpty()) {
      throw new IllegalArgumentException(
          "free: found %s, expected names of components of %s"
              .formatted(unknown, settings.getClass().getName()));
    }
    return new RunIdentity(values);
  }

  private static void put(
      String name, Object value, Set<String> free, Set<String> unknown, Map<String, String> into) {
    unknown.remove(name);
    if (free.contains(name)) {
      return;
    }
    if (value instanceof Record parts) {
      for (RecordComponent component : parts.getClass().getRecordComponents()) {
        String each = name.isEmpty() ? component.getName() : name + "." + component.getName();
        Object part = get(component, parts);
        put(each, part, free, unknown, into);
        if (part instanceof Record && component.getType() != part.getClass()) {
          into.put(each, part.getClass().getSimpleName()); // Which of several kinds it is.
        }
      }
    } else if (value instanceof List<?> items) {
      for (int i = 0; i < items.size(); i++) {
        put(name + "[" + i + "]", items.get(i), free, unknown, into);
      }
      into.put(name, items.size() + " items"); // What is empty counts, too.
    } else {
      into.put(name, value instanceof Path ? "a path" : String.valueOf(value));
    }
  }

  private static Object get(RecordComponent component, Record parts) {
    try {
      component.getAccessor().setAccessible(true); // The record itself need not be public.
      return component.getAccessor().invoke(parts);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException(component + " cannot be read", e);
    }
  }

  /** How another one differs: {@code NAME: found …, expected …}. */
  public List<String> differences(RunIdentity other) {
    Set<String> names = new TreeSet<>(values.keySet());
    names.addAll(other.values.keySet());
    return names.stream()
        .filter(name -> !Objects.equals(other.values.get(name), values.get(name)))
        .map(
            name ->
                "%s: found %s, expected %s"
                    .formatted(
                        name,
                        other.values.getOrDefault(name, "none"),
                        values.getOrDefault(name, "none")))
        .toList();
  }
}
