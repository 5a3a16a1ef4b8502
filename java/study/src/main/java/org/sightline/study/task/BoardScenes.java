package org.sightline.study.task;

import static org.sightline.study.task.NarrowScenes.pick;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.sightline.vla.data.image.RgbImage;
import org.sightline.vla.tabletop.Look;
import org.sightline.vla.tabletop.ObjectKind;
import org.sightline.vla.tabletop.Palette;
import org.sightline.vla.tabletop.ReceptacleKind;
import org.sightline.vla.tabletop.Scene;

/**
 * Boards side by side, and a carrot before them, always at the same places: what fails then is not
 * the hand. One board is the instructed one; the paper's release scores the wrong one of two digits
 * in every case.
 */
public final class BoardScenes {
  private static final double CARROT_X = 0.235;
  private static final double BOARDS_X = 0.350;

  /** Distance of neighbouring boards. */
  private static final double APART = 0.098;

  private BoardScenes() {}

  /** A picture, and what an instruction calls it. */
  private record Board(String name, RgbImage face) {}

  static Scene of(Task set, long seed, Pictures pictures) {
    Random random = NarrowScenes.random(seed, set.name());
    List<Board> boards =
        switch (set) {
          case PARITY -> digits(random, pictures);
          case COLOR -> colours(random, pictures);
          case SHAPE -> shapes(random, pictures);
          default -> signs(set, random, pictures);
        };
    List<Scene.Receptacle> receptacles = new ArrayList<>();
    for (int i = 0; i < boards.size(); i++) {
      double y = (i - (boards.size() - 1) / 2.0) * APART;
      receptacles.add(
          new Scene.Receptacle(
              ReceptacleKind.BOARD, Palette.WHITE, BOARDS_X, y, 0, boards.get(i).face()));
    }
    int target = random.nextInt(boards.size());
    Scene.Item carrot = new Scene.Item(ObjectKind.CARROT, Palette.ORANGE, CARROT_X, 0, 0.6);
    Random looks = NarrowScenes.random(seed, "boards");
    List<Integer> tables = IntStream.range(0, Look.tables()).boxed().toList();
    return new Scene(
        instruction(set, boards.get(target).name()),
        List.of(carrot),
        receptacles,
        0,
        target,
        Scene.startingGripper(looks),
        Look.fixed(NarrowScenes.table(looks, tables)),
        null,
        null);
  }

  private static String instruction(Task set, String name) {
    String what =
        switch (set) {
          case ARROW -> "arrow " + name + " sign";
          case PUBLIC_INFO, TRAFFIC -> name + " sign";
          case LAUNDRY, WEATHER -> name + " icon";
          case PARITY -> name + " number";
          default -> name;
        };
    return "put carrot on " + what;
  }

  /** Where the camera sees the instructed board: "left", "center" or "right". */
  public static String side(Scene scene) {
    double y = scene.target().y();
    return Math.abs(y) < APART / 4 ? "center" : y < 0 ? "left" : "right";
  }

  private static List<Board> signs(Task set, Random random, Pictures pictures) {
    return three(set, random, pictures).stream()
        .map(name -> new Board(name, pictures.draw(set, name, null)))
        .toList();
  }

  /** Three shapes, each in any colour. */
  private static List<Board> shapes(Random random, Pictures pictures) {
    return three(Task.SHAPE, random, pictures).stream()
        .map(
            name ->
                new Board(
                    name,
                    pictures.draw(Task.SHAPE, name, pick(random, pictures.names(Task.COLOR)))))
        .toList();
  }

  /** Three colours, each of any shape. */
  private static List<Board> colours(Random random, Pictures pictures) {
    return three(Task.COLOR, random, pictures).stream()
        .map(
            colour ->
                new Board(
                    colour,
                    pictures.draw(Task.SHAPE, pick(random, pictures.names(Task.SHAPE)), colour)))
        .toList();
  }

  /** An odd and an even digit, either of them left. */
  private static List<Board> digits(Random random, Pictures pictures) {
    List<Board> boards = new ArrayList<>();
    for (int rest = 0; rest < 2; rest++) {
      int parity = rest;
      List<String> alike =
          pictures.names(Task.PARITY).stream()
              .filter(digit -> Integer.parseInt(digit) % 2 == parity)
              .toList();
      RgbImage face = pictures.draw(Task.PARITY, pick(random, alike), null);
      boards.add(new Board(parity == 0 ? "even" : "odd", face));
    }
    Collections.shuffle(boards, random);
    return boards;
  }

  private static List<String> three(Task set, Random random, Pictures pictures) {
    List<String> names = new ArrayList<>(pictures.names(set));
    Collections.shuffle(names, random);
    return names.subList(0, 3);
  }
}
