package org.sightline.vla.tabletop;

import org.sightline.vla.data.image.RgbImage;

/**
 * What a camera shows, and of what each pixel is.
 *
 * @param image the picture
 * @param entities one a pixel, rows from the top: what its centre shows. 0 is table or wall, {@link
 *     #ROBOT} the robot; then the scene's items, then its receptacles, see {@link #item} and {@link
 *     #receptacle}. Shadows count as what they fall on.
 */
public record View(RgbImage image, byte[] entities) {
  /** The arm and its hand. */
  public static final int ROBOT = 1;

  /** The entity of an item of the scene. */
  public static int item(int index) {
    return ROBOT + 1 + index;
  }

  /** The entity of a receptacle of the scene. */
  public static int receptacle(Scene scene, int index) {
    return item(scene.items().size() + index);
  }

  /** How many pixels show an entity. */
  public int count(int entity) {
    int count = 0;
    for (byte pixel : entities) {
      count += pixel == entity ? 1 : 0;
    }
    return count;
  }
}
