package org.sightline.vla.tabletop;

/** Colours that an instruction can name; well apart from each other. */
public enum Palette {
  RED(0xd02b2b),
  ORANGE(0xf08a24),
  YELLOW(0xf2cf3a),
  GREEN(0x3f9b4b),
  BLUE(0x2f5fc4),
  PURPLE(0x7b3f9d),
  PINK(0xeb8fb0),
  WHITE(0xf4f2ec),
  GRAY(0x8b9096),
  BROWN(0x7d5233);

  private final int rgb;

  Palette(int rgb) {
    this.rgb = rgb;
  }

  int rgb() {
    return rgb;
  }

  public String word() {
    return name().toLowerCase(java.util.Locale.ROOT);
  }
}
