package org.sightline.study.task;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.sightline.vla.data.image.RgbImage;

/**
 * The eight sets at the paper's counts, drawn from the shapes in {@code pictures.txt}. Own
 * arithmetic, no drawing toolkit: the same bits everywhere.
 */
public final class DrawnPictures implements Pictures {
  /** In the order of the spectrum, then what is not in it. */
  private static final Map<String, Integer> COLOURS = new LinkedHashMap<>();

  static {
    COLOURS.put("red", 0xd02b2b);
    COLOURS.put("orange", 0xf08a24);
    COLOURS.put("yellow", 0xf2cf3a);
    COLOURS.put("green", 0x3f9b4b);
    COLOURS.put("blue", 0x2f5fc4);
    COLOURS.put("purple", 0x7b3f9d);
    COLOURS.put("pink", 0xeb8fb0);
    COLOURS.put("brown", 0x7d5233);
  }

  /** Colours of pictures that instructions do not name. */
  private static final Map<String, Integer> INKS =
      Map.of(
          "black", 0x141414, "white", 0xf4f2ec, "grey", 0x8b9eb0, "navy", 0x1c2a6b, "cyan",
          0x6fb7d8);

  private static final int SIDE = 40;
  private static final int SAMPLES = 3;

  private final Map<Task, Map<String, List<String>>> sets = new EnumMap<>(Task.class);

  /** Reads the shapes. */
  public DrawnPictures() {
    Map<String, List<String>> macros = new HashMap<>();
    try (var in = DrawnPictures.class.getResourceAsStream("pictures.txt");
        var reader = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8))) {
      for (String line = reader.readLine(); line != null; line = reader.readLine()) {
        if (!line.isBlank() && !line.startsWith("#")) {
          add(line.split("\\|"), macros);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void add(String[] fields, Map<String, List<String>> macros) {
    List<String> shapes = new ArrayList<>();
    for (String shape : fields[2].split(";")) {
      String text = shape.trim();
      shapes.addAll(text.startsWith("@") ? macros.get(text) : List.of(text));
    }
    String name = fields[1].trim();
    if (name.startsWith("@")) {
      macros.put(name, shapes);
    } else {
      Task set = Task.valueOf(fields[0].trim().toUpperCase(Locale.ROOT));
      sets.computeIfAbsent(set, unused -> new LinkedHashMap<>()).put(name, shapes);
    }
  }

  @Override
  public List<String> names(Task set) {
    return List.copyOf(set == Task.COLOR ? COLOURS.keySet() : sets.get(set).keySet());
  }

  @Override
  public RgbImage draw(Task set, String name, String colour) {
    List<InkedShape> shapes =
        sets.get(set).get(name).stream()
            .map(text -> InkedShape.parse(text, ink -> rgb(ink, colour)))
            .toList();
    byte[] pixels = new byte[3 * SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++) {
      int[] sum = new int[3];
      for (int k = 0; k < SAMPLES * SAMPLES; k++) {
        double x = unit(i % SIDE + (k % SAMPLES + 0.5) / SAMPLES);
        double y = unit(i / SIDE + (k / SAMPLES + 0.5) / SAMPLES);
        int rgb = INKS.get("white");
        for (InkedShape shape : shapes) {
          rgb = shape.contains(x, y) ? shape.rgb() : rgb;
        }
        sum[0] += rgb >> 16 & 0xff;
        sum[1] += rgb >> 8 & 0xff;
        sum[2] += rgb & 0xff;
      }
      for (int c = 0; c < 3; c++) {
        pixels[3 * i + c] = (byte) (sum[c] / (SAMPLES * SAMPLES));
      }
    }
    return new RgbImage(SIDE, SIDE, pixels);
  }

  private static int rgb(String ink, String colour) {
    String name = ink.equals("*") ? colour : ink;
    return COLOURS.containsKey(name) ? COLOURS.get(name) : INKS.get(name);
  }

  /** From pixels to the shapes' coordinates, with a margin of a tenth. */
  private static double unit(double pixel) {
    return (2 * pixel / SIDE - 1) * 11;
  }
}
