package org.sightline.study.task;

import java.util.function.ToIntFunction;

/** A shape of one colour, as a line of {@code pictures.txt} describes it. */
record InkedShape(int rgb, Area area) {
  /** Which points belong to it. */
  private interface Area {
    boolean contains(double x, double y);
  }

  boolean contains(double x, double y) {
    return area.contains(x, y);
  }

  static InkedShape parse(String text, ToIntFunction<String> inks) {
    String[] words = text.split(" +");
    double[] v = new double[words.length - 2];
    for (int i = 0; i < v.length; i++) {
      v[i] = Double.parseDouble(words[i + 2]);
    }
    Area area =
        switch (words[0]) {
          case "c" -> (x, y) -> squared(x - v[0], y - v[1]) <= v[2] * v[2];
          case "o" -> (x, y) -> Math.abs(Math.sqrt(squared(x - v[0], y - v[1])) - v[2]) <= v[3] / 2;
          case "p" -> polygon(v);
          case "n" -> polygon(star(v[0], v[1], v[1], v[2], 1));
          case "s" -> polygon(star(v[0], v[1], v[2], v[3], 2));
          case "l" -> line(v);
          default -> throw new IllegalArgumentException("no shape is called " + words[0]);
        };
    return new InkedShape(inks.applyAsInt(words[1]), area);
  }

  private static double squared(double x, double y) {
    return x * x + y * y;
  }

  /** Corners on two circles in turn, {@code each} of them per corner of the star. */
  private static double[] star(double corners, double outer, double inner, double angle, int each) {
    int count = (int) corners * each;
    double[] points = new double[2 * count];
    for (int i = 0; i < count; i++) {
      double turn = Math.toRadians(angle) + 2 * Math.PI * i / count;
      double radius = i % each == 0 ? outer : inner;
      points[2 * i] = radius * StrictMath.cos(turn);
      points[2 * i + 1] = radius * StrictMath.sin(turn);
    }
    return points;
  }

  /** Where a ray to the right crosses the outline an odd number of times. */
  private static Area polygon(double[] points) {
    return (x, y) -> {
      boolean inside = false;
      for (int i = 0, j = points.length - 2; i < points.length; j = i, i += 2) {
        double y1 = points[i + 1];
        double y2 = points[j + 1];
        if (y1 > y != y2 > y && x < (points[j] - points[i]) * (y - y1) / (y2 - y1) + points[i]) {
          inside = !inside;
        }
      }
      return inside;
    };
  }

  /** Within half its width of one of the segments. */
  private static Area line(double[] v) {
    double reach = v[0] * v[0] / 4;
    return (x, y) -> {
      for (int i = 1; i + 3 < v.length; i += 2) {
        double dx = v[i + 2] - v[i];
        double dy = v[i + 3] - v[i + 1];
        double along = ((x - v[i]) * dx + (y - v[i + 1]) * dy) / squared(dx, dy);
        double t = Math.max(0, Math.min(1, along));
        if (squared(x - v[i] - t * dx, y - v[i + 1] - t * dy) <= reach) {
          return true;
        }
      }
      return false;
    };
  }
}
