package org.sightline.study.task;

import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.sightline.Seeds;
import org.sightline.vla.data.image.RgbImage;

/** A plain colour for each name: enough to tell boards apart. */
public final class PlainPictures implements Pictures {
  @Override
  public List<String> names(Task set) {
    return switch (set) {
      case COLOR -> List.of("red", "green", "blue", "yellow");
      case PARITY -> IntStream.rangeClosed(1, 8).mapToObj(String::valueOf).toList();
      case ARROW -> List.of("left", "right", "up", "down");
      default -> List.of("one", "two", "three", "four", "five");
    };
  }

  @Override
  public RgbImage draw(Task set, String name, String colour) {
    long hash = Seeds.of(7, set + name + colour);
    byte[] pixels = new byte[3 * 8 * 8];
    for (int i = 0; i < pixels.length; i++) {
      pixels[i] = (byte) (hash >> 8 * (i % 3));
    }
    return new RgbImage(8, 8, pixels);
  }

  /** Which name a board's picture belongs to. */
  static String name(Task set, RgbImage face) {
    return new PlainPictures()
        .names(set).stream()
            .filter(
                name ->
                    Arrays.equals(
                        new PlainPictures().draw(set, name, null).pixels(), face.pixels()))
            .findFirst()
            .orElseThrow();
  }
}
