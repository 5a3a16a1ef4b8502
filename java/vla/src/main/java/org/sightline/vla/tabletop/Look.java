package org.sightline.vla.tabletop;

import io.soabase.recordbuilder.core.RecordBuilder;
import java.util.Random;

/**
 * What varies between episodes besides the objects: table, wall, light and camera.
 *
 * @param table the table's surface
 * @param wall linear RGB of the wall behind it
 * @param light unit direction towards the light
 * @param lightColour linear RGB of direct light
 * @param ambient linear RGB of light from everywhere
 * @param eye position of the camera in metres
 * @param target point it looks at
 * @param fieldOfView vertical angle in radians
 */
@RecordBuilder
public record Look(
    TableTexture table,
    Vec3 wall,
    Vec3 light,
    Vec3 lightColour,
    Vec3 ambient,
    Vec3 eye,
    Vec3 target,
    double fieldOfView)
    implements LookBuilder.With {
  private static final int[][] TABLES = {
    // light and dark colour per pattern, as displayed
    {0xc8965c, 0x7a4a22}, {0xa9744a, 0x56331c}, {0xd9b98c, 0x9c7446},
    {0xe8e4de, 0x8c8a8c}, {0xd8e0dc, 0x6f8580}, {0x4a4f58, 0xb0b4b8},
    {0xb9b6b0, 0x55534f}, {0x9aa3ad, 0x3f4852}, {0xc9b6a6, 0x6d5344},
    {0xd6dde2, 0x8a9aa6}, {0xe6d5c0, 0xa08468}, {0xb7c9bd, 0x6a8374},
    {0xf0ece4, 0x9fb4cf}, {0xf3ead8, 0xc9a28a}, {0xe7efe3, 0x8fb08c},
  };
  private static final int[] WALLS = {0xb8bfc6, 0xc9c1b2, 0x8fa3b5, 0xa7b59c, 0xb49f97, 0x6f7680};

  private static final Vec3 TARGET = new Vec3(0.283, 0, 0.04);
  private static final double DISTANCE = 0.62;
  private static final double HEIGHT = 0.52;
  private static final double FIELD_OF_VIEW = Math.toRadians(24);

  /** How many tables there are. */
  public static int tables() {
    return TABLES.length;
  }

  /** One of the tables; its irregularities are drawn by {@code seed}. */
  public static TableTexture table(int index, int seed) {
    return new TableTexture(
        TableTexture.Pattern.values()[index / 3],
        Material.linear(TABLES[index][0]),
        Material.linear(TABLES[index][1]),
        seed);
  }

  /** A table in even light, seen by a camera that is always at the same place. */
  public static Look fixed(TableTexture table) {
    return new Look(
        table,
        Material.linear(WALLS[0]),
        new Vec3(0.3, -0.35, 1).normalized(),
        new Vec3(0.9, 0.9, 0.9),
        new Vec3(0.34, 0.36, 0.40),
        TARGET.plus(new Vec3(DISTANCE, 0, HEIGHT)),
        TARGET,
        FIELD_OF_VIEW);
  }

  /** Draws table, wall, light and the camera's place around its usual one. */
  public static Look sample(Random random) {
    TableTexture table = table(random.nextInt(TABLES.length), random.nextInt());
    double azimuth = random.nextDouble() * 2 * Math.PI;
    double elevation = Math.toRadians(48 + 27 * random.nextDouble());
    Vec3 light =
        new Vec3(
            StrictMath.cos(azimuth) * StrictMath.cos(elevation),
            StrictMath.sin(azimuth) * StrictMath.cos(elevation),
            StrictMath.sin(elevation));
    double warmth = random.nextDouble() - 0.4;
    Vec3 tint = new Vec3(1 + 0.10 * warmth, 1, 1 - 0.16 * warmth);
    double brightness = 0.75 + 0.3 * random.nextDouble();
    double turn = jitter(random, 0.12);
    double distance = DISTANCE * (1 + jitter(random, 0.05));
    double height = HEIGHT * (1 + jitter(random, 0.07));
    Vec3 target = TARGET.plus(new Vec3(jitter(random, 0.010), jitter(random, 0.010), 0));
    Vec3 offset =
        new Vec3(distance * StrictMath.cos(turn), distance * StrictMath.sin(turn), height);
    return new Look(
        table,
        Material.linear(WALLS[random.nextInt(WALLS.length)]),
        light,
        tint.times(brightness),
        new Vec3(0.34, 0.36, 0.40).times(0.85 + 0.3 * random.nextDouble()),
        target.plus(offset),
        target,
        FIELD_OF_VIEW + Math.toRadians(jitter(random, 1.0)));
  }

  /** Where a point of the scene is in a picture: x and y in pixels from the upper left corner. */
  public double[] project(Vec3 point, int size) {
    return Camera.of(this, size).project(point);
  }

  /** Ambient light that a surface gets. */
  Vec3 ambientOn(Vec3 normal) {
    return ambient.times(0.75 + 0.25 * normal.z());
  }

  /** What an unshaded surface of a colour sends in a direction of view. */
  Vec3 directOn(Vec3 normal, Vec3 direction, Vec3 colour, double gloss) {
    Vec3 halfway = light.minus(direction).normalized();
    double alignment = Math.max(0, normal.dot(halfway));
    double power = alignment * alignment;
    power *= power;
    power *= power;
    power *= power; // alignment^16
    Vec3 diffuse = colour.times(Math.max(0, normal.dot(light)));
    double highlight = 0.5 * gloss * power * power;
    return lightColour.times(diffuse.plus(new Vec3(highlight, highlight, highlight)));
  }

  private static double jitter(Random random, double range) {
    return (2 * random.nextDouble() - 1) * range;
  }
}
