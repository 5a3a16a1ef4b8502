package org.sightline.vla.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class FiguresTest {
  @Test
  void aColumnHasTheDecimalsItsLargestNumberNeeds() {
    assertEquals(
        List.of("7.942", "-0.006", "1.990"),
        Figures.column(List.of(7.9415079585, -0.0060695, 1.98955)));
    assertEquals(List.of("0.5965", "0.0000"), Figures.column(List.of(0.596491, 0.0)));
    assertEquals(List.of("12346", "3"), Figures.column(List.of(12345.6, 2.5001)));
    assertEquals(List.of("60", "0"), Figures.column(List.of(60.0, 0.0)));
    assertEquals(List.of("0.0020", "0.0005"), Figures.column(List.of(0.002, 5e-4)));
    assertEquals(List.of("0.002000", "0.000500"), Figures.column(List.of(0.002, 5e-4), 9));
  }

  @Test
  void whatIsSmallIsNoZeroAndWhatIsNoNumberIsNone() {
    assertEquals(List.of("8.012", "1.2e-07"), Figures.column(List.of(8.012, 1.23e-7)));
    assertEquals(
        List.of("NaN", "Infinity", "", "1.500"),
        Figures.column(Arrays.asList(Double.NaN, Double.POSITIVE_INFINITY, null, 1.5)));
    assertEquals(List.of("1.2e-12"), Figures.column(List.of(1.23e-12)));
  }

  @Test
  void decimalsTellNeighboursApart() {
    assertEquals(4, Figures.decimals(0.0003));
    assertEquals(3, Figures.decimals(2.0 / 256));
    assertEquals(0, Figures.decimals(7));
    assertEquals(0, Figures.decimals(0));
  }
}
