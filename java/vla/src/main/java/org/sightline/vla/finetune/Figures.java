package org.sightline.vla.finetune;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.List;
import java.util.Locale;
import java.util.Objects;

/** Numbers as a reader wants them; the logs have all digits. */
final class Figures {
  /** Significant digits of the largest number of a column. */
  private static final int DIGITS = 4;

  static final int MOST_DECIMALS = 9;

  private Figures() {}

  /**
   * The numbers of a column, all with the decimals that the largest needs for four significant
   * digits, so that they stand in line; whole numbers stay whole. One too small for these decimals
   * has an exponent; null becomes an empty text.
   *
   * @param most decimals at all
   */
  static List<String> column(List<Double> values, int most) {
    List<Double> present = values.stream().filter(Objects::nonNull).toList();
    double largest =
        present.stream().filter(Double::isFinite).mapToDouble(Math::abs).max().orElse(0);
    boolean whole = present.stream().allMatch(value -> value == Math.rint(value));
    int decimals = whole ? 0 : Math.min(most, decimals(largest / Math.pow(10, DIGITS - 1)));
    return values.stream().map(value -> value == null ? "" : fixed(value, decimals)).toList();
  }

  private static String fixed(double value, int decimals) {
    if (!Double.isFinite(value)) {
      return String.valueOf(value);
    }
    BigDecimal rounded = rounded(value, decimals);
    return rounded.signum() == 0 && value != 0
        ? String.format(Locale.ROOT, "%.1e", value)
        : rounded.toPlainString();
  }

  /** For losses, shares, cosines and seconds, of which smaller parts tell nothing. */
  static List<String> column(List<Double> values) {
    return column(values, DIGITS);
  }

  /** A finite number with so many decimals. */
  static BigDecimal rounded(double value, int decimals) {
    return new BigDecimal(value).setScale(decimals, RoundingMode.HALF_EVEN);
  }

  /** Decimals that tell values apart which differ by so much; none for 0. */
  static int decimals(double difference) {
    double digits = Math.ceil(-Math.log10(difference));
    return Double.isInfinite(digits) ? 0 : (int) Math.max(0, Math.min(MOST_DECIMALS, digits));
  }

  /** For a picture: its value to five digits. */
  static double forPicture(double value) {
    return new BigDecimal(value).round(new MathContext(5)).doubleValue();
  }
}
