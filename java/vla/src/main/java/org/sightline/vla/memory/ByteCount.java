package org.sightline.vla.memory;

import java.math.BigDecimal;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Numbers of bytes as people and Hugging Face write them: {@code 5GB}, {@code 500MiB}, 5000000. A
 * number below a million without a unit is one of GB: nobody speaks of so few bytes here.
 */
public final class ByteCount {
  private static final BigDecimal FEWEST_BYTES = BigDecimal.valueOf(1_000_000);
  private static final Pattern FORM =
      Pattern.compile("(\\d+(?:\\.\\d+)?)\\s*([KMGT]?)(I?)(B?)", Pattern.CASE_INSENSITIVE);

  private ByteCount() {}

  /**
   * Reads one.
   *
   * @throws IllegalArgumentException if it is none
   */
  public static long parse(String text) {
    Matcher form = FORM.matcher(text.strip());
    if (!form.matches()) {
      throw new IllegalArgumentException(
          "found \"" + text + "\", expected a number of bytes such as 5GB or 500MiB");
    }
    BigDecimal number = new BigDecimal(form.group(1));
    String prefix = form.group(2).toUpperCase(Locale.ROOT);
    if (prefix.isEmpty() && form.group(4).isEmpty() && number.compareTo(FEWEST_BYTES) < 0) {
      prefix = "G";
    }
    int power = prefix.isEmpty() ? 0 : "KMGT".indexOf(prefix) + 1;
    BigDecimal unit = BigDecimal.valueOf(form.group(3).isEmpty() ? 1000 : 1024).pow(power);
    BigDecimal bytes = number.multiply(unit);
    if (bytes.compareTo(BigDecimal.valueOf(Long.MAX_VALUE)) > 0) {
      throw new IllegalArgumentException("found \"" + text + "\", expected less than 2^63 bytes");
    }
    return bytes.longValue();
  }

  /** In decimal units with three digits: 15.1 GB. */
  public static String format(long bytes) {
    String[] units = {"B", "kB", "MB", "GB", "TB"};
    double value = bytes;
    int unit = 0;
    while (value >= 999.5 && unit < units.length - 1) {
      value /= 1000;
      unit++;
    }
    if (unit == 0) {
      return bytes + " B";
    }
    int places = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    return String.format(Locale.ROOT, "%." + places + "f %s", value, units[unit]);
  }
}
