package org.sightline.vla.cli;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import javax.imageio.ImageIO;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.lines.SeriesLines;
import org.knowm.xchart.style.markers.SeriesMarkers;
import org.sightline.formats.file.AtomicFile;
import org.sightline.vla.finetune.ModeResult;
import org.sightline.vla.finetune.RunCurves;

/**
 * The pictures of a job in one file. They are drawn with AWT, which cannot do so everywhere: not
 * without any font, nor where the JVM comes without the libraries for it.
 */
final class RunPlot {
  private static final int WIDTH = 520;
  private static final int HEIGHT = 360;
  private static final int COLUMNS = 3;

  /**
   * A point that is not drawn. Of evenly spaced steps XChart marks every n-th, however odd, and so
   * many that the numbers run into each other; of others it marks round ones.
   */
  private static final double UNEVEN = 0.3;

  private RunPlot() {}

  /** Makes an encoded picture. */
  interface Drawing {
    byte[] png() throws IOException;
  }

  /**
   * Writes all pictures as one PNG.
   *
   * @return why there is none, if they cannot be drawn; an older file is then gone
   * @throws IOException if the file cannot be written
   */
  static Optional<String> write(Path file, List<ModeResult> results) throws IOException {
    return write(file, () -> draw(RunCurves.of(results)));
  }

  static Optional<String> write(Path file, Drawing drawing) throws IOException {
    byte[] png;
    try {
      png = drawing.png();
    } catch (IOException | RuntimeException | Error e) { // AWT throws plain Errors, too.
      Files.deleteIfExists(file);
      Throwable cause = e;
      while (cause.getCause() != null) {
        cause = cause.getCause();
      }
      return Optional.of(cause.toString());
    }
    AtomicFile.write(file, channel -> Channels.newOutputStream(channel).write(png));
    return Optional.empty();
  }

  private static byte[] draw(List<RunCurves.Chart> charts) throws IOException {
    int columns = Math.min(COLUMNS, charts.size());
    int rows = (charts.size() + columns - 1) / columns;
    BufferedImage all =
        new BufferedImage(columns * WIDTH, rows * HEIGHT, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = all.createGraphics();
    graphics.setBackground(Color.WHITE);
    graphics.clearRect(0, 0, all.getWidth(), all.getHeight());
    for (int i = 0; i < charts.size(); i++) {
      BufferedImage image = BitmapEncoder.getBufferedImage(chart(charts.get(i)));
      graphics.drawImage(image, i % columns * WIDTH, i / columns * HEIGHT, null);
    }
    graphics.dispose();
    ByteArrayOutputStream png = new ByteArrayOutputStream();
    try (var stream = new MemoryCacheImageOutputStream(png)) { // ImageIO's own makes a file.
      ImageIO.write(all, "png", stream);
    }
    return png.toByteArray();
  }

  private static XYChart chart(RunCurves.Chart curves) {
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .title(curves.title())
            .xAxisTitle("step")
            .build();
    chart.getStyler().setChartBackgroundColor(Color.WHITE);
    chart.getStyler().setLegendPosition(LegendPosition.OutsideS);
    chart.getStyler().setLegendLayout(LegendLayout.Horizontal);
    chart.getStyler().setXAxisDecimalPattern("0");
    chart.getStyler().setYAxisDecimalPattern("0.######");
    double inside = curves.curves().get(0).values().get(0);
    chart
        .addSeries("0", List.of(0.0, UNEVEN), List.of(inside, inside))
        .setMarker(SeriesMarkers.NONE)
        .setLineStyle(SeriesLines.NONE)
        .setShowInLegend(false);
    for (RunCurves.Curve curve : curves.curves()) {
      float[] dash = new float[curve.dash().size()];
      for (int i = 0; i < dash.length; i++) {
        dash[i] = curve.dash().get(i);
      }
      Color color = Color.decode(curve.color());
      chart
          .addSeries(curve.mode(), curve.steps(), curve.values())
          .setMarker(curve.steps().size() == 1 ? SeriesMarkers.CIRCLE : SeriesMarkers.NONE)
          .setMarkerColor(color)
          .setLineColor(color)
          .setLineStyle(
              new BasicStroke(
                  2,
                  BasicStroke.CAP_BUTT,
                  BasicStroke.JOIN_ROUND,
                  1,
                  dash.length == 0 ? null : dash,
                  0));
    }
    return chart;
  }
}
