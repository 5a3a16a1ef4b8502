package org.sightline.vla.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.BitmapEncoder.BitmapFormat;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.markers.SeriesMarkers;
import org.sightline.train.Evaluation;
import org.sightline.train.StepEvent;

/** One picture of a job: training loss, held-out accuracy and alignment, mode by mode. */
final class RunPlot {
  private static final int WIDTH = 520;
  private static final int HEIGHT = 360;

  private RunPlot() {}

  /** Writes the picture, a PNG. */
  static void write(Path file, List<ModeResult> results) throws IOException {
    // Charts are drawn into memory; a display is never needed.
    System.setProperty("java.awt.headless", "true");
    List<XYChart> charts =
        List.of(
            chart("action loss (training)"),
            chart("token accuracy (held out)"),
            chart("alignment cosine (held out)"));
    for (ModeResult result : results) {
      String mode = result.mode().name().toLowerCase(Locale.ROOT);
      List<StepEvent> steps = result.history().steps();
      add(charts.get(0), mode, steps, StepEvent::step, StepEvent::actionLoss);
      List<Evaluation> evaluations = new ArrayList<>();
      evaluations.add(result.before());
      evaluations.addAll(result.history().evaluations());
      add(
          charts.get(1),
          mode,
          evaluations,
          Evaluation::step,
          e -> e.metrics().getOrDefault("token_accuracy", Double.NaN));
      add(charts.get(2), mode, evaluations, Evaluation::step, ResultTable::cosine);
    }
    BitmapEncoder.saveBitmap(charts, 1, charts.size(), file.toString(), BitmapFormat.PNG);
  }

  private static XYChart chart(String title) {
    XYChart chart =
        new XYChartBuilder().width(WIDTH).height(HEIGHT).title(title).xAxisTitle("step").build();
    chart.getStyler().setLegendPosition(LegendPosition.OutsideS);
    chart.getStyler().setLegendLayout(LegendLayout.Horizontal);
    chart.getStyler().setXAxisMaxLabelCount(8);
    return chart;
  }

  private static <T> void add(
      XYChart chart, String series, List<T> points, ToDoubleFunction<T> x, ToDoubleFunction<T> y) {
    double[] xs = points.stream().mapToDouble(x).toArray();
    double[] ys = points.stream().mapToDouble(y).toArray();
    chart.addSeries(series, xs, ys).setMarker(SeriesMarkers.NONE);
  }
}
