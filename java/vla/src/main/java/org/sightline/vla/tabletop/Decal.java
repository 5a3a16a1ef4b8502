package org.sightline.vla.tabletop;

import org.sightline.vla.data.image.Lanczos3;
import org.sightline.vla.data.image.RgbImage;

/** A square picture on a surface, whose right is the frame's v axis and whose top its -u axis. */
final class Decal implements Material.Pattern {
  /** As many pixels along a side as tell apart what a camera shows of it, and smooth between. */
  private static final int SIDE = 24;

  private final Frame frame;
  private final double half;
  private final RgbImage picture;

  /** A picture on a square of {@code 2 half} metres around the frame's origin. */
  Decal(RgbImage picture, Frame frame, double half) {
    this.picture = picture.width() == SIDE ? picture : Lanczos3.resize(picture, SIDE, SIDE);
    this.frame = frame;
    this.half = half;
  }

  @Override
  public Vec3 colour(Vec3 point) {
    Vec3 offset = point.minus(frame.origin());
    double x = (offset.dot(frame.v()) / half + 1) / 2 * SIDE - 0.5;
    double y = (offset.dot(frame.u()) / half + 1) / 2 * SIDE - 0.5;
    int left = (int) Math.floor(x);
    int top = (int) Math.floor(y);
    Vec3 above = at(left, top).mix(at(left + 1, top), x - left);
    Vec3 below = at(left, top + 1).mix(at(left + 1, top + 1), x - left);
    return above.mix(below, y - top);
  }

  private Vec3 at(int x, int y) {
    int column = Math.max(0, Math.min(SIDE - 1, x));
    int row = Math.max(0, Math.min(SIDE - 1, y));
    return Material.linear(
        picture.get(column, row, 0) << 16
            | picture.get(column, row, 1) << 8
            | picture.get(column, row, 2));
  }
}
