package org.sightline.study.rollout;

import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.List;
import javax.imageio.ImageIO;
import org.sightline.vla.data.image.RgbImage;

/** Filmed episodes as a picture: a row each, from start to end, under instruction and outcome. */
public final class ContactSheet {
  private static final int COLUMNS = 8;
  private static final int CAPTION = 16;

  private ContactSheet() {}

  /** PNG of the episodes that were filmed; null if none was. */
  public static byte[] png(List<Episode> episodes) throws IOException {
    List<Episode> filmed = episodes.stream().filter(e -> !e.frames().isEmpty()).toList();
    if (filmed.isEmpty()) {
      return null;
    }
    int side = filmed.get(0).frames().get(0).width();
    int row = side + CAPTION;
    var sheet = new BufferedImage(COLUMNS * side, filmed.size() * row, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = sheet.createGraphics();
    graphics.setFont(new Font(Font.SANS_SERIF, Font.PLAIN, 11));
    for (int i = 0; i < filmed.size(); i++) {
      Episode episode = filmed.get(i);
      graphics.setColor(episode.success() ? new Color(0x9be09b) : new Color(0xf0b0a0));
      graphics.drawString(
          "%s %d: %s — %s"
              .formatted(
                  episode.task().label(), episode.seed(), episode.instruction(), episode.outcome()),
          4,
          i * row + CAPTION - 4);
      List<RgbImage> frames = episode.frames();
      for (int column = 0; column < COLUMNS; column++) {
        RgbImage frame = frames.get(column * (frames.size() - 1) / (COLUMNS - 1));
        draw(sheet, frame, column * side, i * row + CAPTION);
      }
    }
    graphics.dispose();
    var bytes = new ByteArrayOutputStream();
    ImageIO.write(sheet, "png", bytes);
    return bytes.toByteArray();
  }

  private static void draw(BufferedImage sheet, RgbImage frame, int left, int top) {
    for (int y = 0; y < frame.height(); y++) {
      for (int x = 0; x < frame.width(); x++) {
        int rgb = frame.get(x, y, 0) << 16 | frame.get(x, y, 1) << 8 | frame.get(x, y, 2);
        sheet.setRGB(left + x, top + y, rgb);
      }
    }
  }
}
