package org.sightline.vla.tabletop;

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
record Look(
    TableTexture table,
    Vec3 wall,
    Vec3 light,
    Vec3 lightColour,
    Vec3 ambient,
    Vec3 eye,
    Vec3 target,
    double fieldOfView) {
  private static final int[][] TABLES = {
    // light and dark colour per pattern, as displayed
    {0xc8965c, 0x7a4a22}, {0xa9744a, 0x56331c}, {0xd9b98c, 0x9c7446},
    {0xe8e4de, 0x8c8a8c}, {0xd8e0dc, 0x6f8580}, {0x4a4f58, 0xb0b4b8},
    {0xb9b6b0, 0x55534f}, {0x9aa3ad, 0x3f4852}, {0xc9b6a6, 0x6d5344},
    {0xd6dde2, 0x8a9aa6}, {0xe6d5c0, 0xa08468}, {0xb7c9bd, 0x6a8374},
    {0xf0ece4, 0x9fb4cf}, {0xf3ead8, 0xc9a28a}, {0xe7efe3, 0x8fb08c},
  };
  private static final int[] WALLS = {0xb8bfc6, 0xc9c1b2, 0x8fa3b5, 0xa7b59c, 0xb49f97, 0x6f7680};

  /** Draws a look. */
  static Look sample(Random random) {
    int choice = random.nextInt(TABLES.length);
    TableTexture table =
        new TableTexture(
            TableTexture.Pattern.values()[choice / 3],
            Material.linear(TABLES[choice][0]),
            Material.linear(TABLES[choice][1]),
            random.nextInt());
    double azimuth = random.nextDouble() * 2 * Math.PI;
    double elevation = Math.toRadians(48 + 27 * random.nextDouble());
    Vec3 light =
        new Vec3(
            Math.cos(azimuth) * Math.cos(elevation),
            Math.sin(azimuth) * Math.cos(elevation),
            Math.sin(elevation));
    double warmth = random.nextDouble() - 0.4;
    Vec3 tint = new Vec3(1 + 0.10 * warmth, 1, 1 - 0.16 * warmth);
    double brightness = 0.75 + 0.3 * random.nextDouble();
    double turn = jitter(random, 0.16);
    double distance = 0.62 * (1 + jitter(random, 0.05));
    double height = 0.52 * (1 + jitter(random, 0.07));
    Vec3 target = new Vec3(0.280 + jitter(random, 0.010), jitter(random, 0.010), 0.045);
    return new Look(
        table,
        Material.linear(WALLS[random.nextInt(WALLS.length)]),
        light,
        tint.times(brightness),
        new Vec3(0.34, 0.36, 0.40).times(0.85 + 0.3 * random.nextDouble()),
        target.plus(new Vec3(distance * Math.cos(turn), distance * Math.sin(turn), height)),
        target,
        Math.toRadians(33 + jitter(random, 1.0)));
  }

  private static double jitter(Random random, double range) {
    return (2 * random.nextDouble() - 1) * range;
  }
}
