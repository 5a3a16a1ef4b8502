package org.sightline.study.task;

import java.util.List;
import org.sightline.vla.data.image.RgbImage;

/** What can be on a board. */
public interface Pictures {
  /**
   * The names of a set's pictures, as instructions say them: "star", "no dogs", "7".
   *
   * @param set one of the tasks of {@link Axis#BOARDS}; the colours, where it is {@link Task#COLOR}
   */
  List<String> names(Task set);

  /**
   * Draws one of them.
   *
   * @param set not {@link Task#COLOR}, whose pictures are shapes
   * @param colour one of {@link Task#COLOR}'s names; null where the picture has its own
   * @return square
   */
  RgbImage draw(Task set, String name, String colour);
}
