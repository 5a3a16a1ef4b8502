package org.sightline.study.task;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.sightline.vla.data.image.Lanczos3;
import org.sightline.vla.data.image.RgbImage;

class DrawnPicturesTest {
  private static final Pictures PICTURES = new DrawnPictures();

  /** PAPER: arXiv 2510.25616, VL-Think. */
  @Test
  void theSetsHaveThePapersCounts() {
    Map<Task, Integer> counts =
        Map.of(
            Task.SHAPE, 14,
            Task.COLOR, 8,
            Task.TRAFFIC, 24,
            Task.LAUNDRY, 17,
            Task.WEATHER, 9,
            Task.ARROW, 4,
            Task.PUBLIC_INFO, 14,
            Task.PARITY, 8);
    counts.forEach((set, count) -> assertEquals(count, PICTURES.names(set).size(), set.name()));
  }

  /** No two look alike at the size that a board has in the picture of a policy. */
  @Test
  void picturesAreToldApart() {
    List<String> names = new ArrayList<>();
    List<RgbImage> images = new ArrayList<>();
    for (Task set : Task.of(Axis.BOARDS)) {
      if (set != Task.COLOR) {
        for (String name : PICTURES.names(set)) {
          names.add(set + " " + name);
          images.add(Lanczos3.resize(PICTURES.draw(set, name, "red"), 16, 16));
        }
      }
    }
    assertEquals(90, names.size());
    for (int i = 0; i < names.size(); i++) {
      for (int j = 0; j < i; j++) {
        double distance = distance(images.get(i), images.get(j));
        assertTrue(distance > 2.5, names.get(i) + " is like " + names.get(j) + ": " + distance);
      }
    }
  }

  private static double distance(RgbImage a, RgbImage b) {
    long sum = 0;
    for (int i = 0; i < a.pixels().length; i++) {
      sum += Math.abs((a.pixels()[i] & 0xff) - (b.pixels()[i] & 0xff));
    }
    return (double) sum / a.pixels().length;
  }

  @Test
  void shapesHaveTheColourAskedFor() {
    RgbImage square = PICTURES.draw(Task.SHAPE, "square", "blue");
    int[] middle = {square.get(20, 20, 0), square.get(20, 20, 1), square.get(20, 20, 2)};
    assertArrayEquals(new int[] {0x2f, 0x5f, 0xc4}, middle);
    assertEquals(0xf4, square.get(0, 0, 0));
    for (String colour : PICTURES.names(Task.COLOR)) {
      for (String shape : PICTURES.names(Task.SHAPE)) {
        assertEquals(40, PICTURES.draw(Task.SHAPE, shape, colour).width());
      }
    }
  }

  /** Their outlines are what their names say: areas of regular polygons of radius 9 and 9.5. */
  @Test
  void shapesHaveTheirAreas() {
    Map<String, Double> areas =
        Map.of(
            "circle",
            Math.PI * 8.5 * 8.5,
            "square",
            225.0,
            "rectangle",
            180.0,
            "triangle",
            1.5 * 9.5 * 9.5 * Math.sin(2 * Math.PI / 3),
            "hexagon",
            3 * 81 * Math.sin(Math.PI / 3),
            "cross",
            180.0);
    areas.forEach(
        (name, area) -> {
          RgbImage image = PICTURES.draw(Task.SHAPE, name, "brown");
          double inked = 0;
          for (int i = 0; i < 40 * 40; i++) {
            inked += (0xf4 - image.get(i % 40, i / 40, 0)) / (double) (0xf4 - 0x7d);
          }
          assertEquals(area, inked * 22 * 22 / (40 * 40), 0.02 * area, name);
        });
  }
}
