package org.sightline.vla.tabletop;

/**
 * A pinhole camera with a square picture.
 *
 * @param eye where it is
 * @param forward where it looks, a unit vector, as are the next two
 * @param right of the picture
 * @param up of the picture
 * @param half tangent of half the angle of view
 * @param size of the picture in pixels
 */
record Camera(Vec3 eye, Vec3 forward, Vec3 right, Vec3 up, double half, int size) {
  static Camera of(Look look, int size) {
    Vec3 forward = look.target().minus(look.eye()).normalized();
    Vec3 right = forward.cross(Vec3.UP).normalized();
    double half = StrictMath.tan(look.fieldOfView() / 2);
    return new Camera(look.eye(), forward, right, right.cross(forward), half, size);
  }

  /** Sets the ray through a point of the picture, in pixels from the upper left corner. */
  void aim(Solid.Ray ray, double px, double py) {
    double sx = (2 * px / size - 1) * half;
    double sy = (1 - 2 * py / size) * half;
    double x = forward.x() + right.x() * sx + up.x() * sy;
    double y = forward.y() + right.y() * sx + up.y() * sy;
    double z = forward.z() + right.z() * sx + up.z() * sy;
    double scale = 1 / Math.sqrt(x * x + y * y + z * z);
    ray.set(eye, x * scale, y * scale, z * scale);
  }

  /** Where a point is seen: x and y in pixels from the upper left corner. */
  double[] project(Vec3 point) {
    Vec3 offset = point.minus(eye);
    double scale = 1 / (offset.dot(forward) * half);
    return new double[] {
      (1 + offset.dot(right) * scale) * size / 2, (1 - offset.dot(up) * scale) * size / 2
    };
  }
}
