package org.sightline;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;

/**
 * Spoils files as damage, mistakes and malice do: in their bits, their numbers, their structure.
 */
final class Mutator {
  /** Put in place of a number or a string of a text. */
  private static final List<String> VALUES =
      List.of(
          "0 -1 1 2 -0 0.5 1e999 -1e999 1e-999 4.9e-324 NaN Infinity -Infinity 01 0x10 1e9 65536",
          "2147483647 2147483648 -2147483648 4294967296 9223372036854775807 9223372036854775808",
          "1e99999999999 99999999999999999999999999 null true false [] {} [[]] [null] {\"\":0} \"\"",
          "\"\\u0000\" \"\\ud800\" \"\\u001b[2J\" \"../../etc\" \"/\" \".\" \"*\" \"(a+)+$\" \"(\" \"NaN\"",
          "\"a\\nb\" \"-1\" \"2147483648\" &a *a !!int ? - : # | > ,");

  private static final String[] WORDS = String.join(" ", VALUES).split(" ");
  private static final long[] EXTREMES = {
    0, 1, -1, 127, 128, 255, 32767, 65536, Integer.MAX_VALUE, 1L << 31, 1L << 40, Long.MIN_VALUE
  };

  private final Random random;
  private byte[] bytes;

  private Mutator(byte[] bytes, Random random) {
    this.bytes = bytes;
    this.random = random;
  }

  /** The input with one to four changes. */
  static byte[] mutated(byte[] input, Random random) {
    Mutator mutator = new Mutator(input.clone(), random);
    for (int i = 1 + random.nextInt(4); i > 0; i--) {
      mutator.change();
    }
    return mutator.bytes;
  }

  private void change() {
    int at = random.nextInt(bytes.length + 1);
    int end = at + Math.min(bytes.length - at, 1 + random.nextInt(1 << random.nextInt(8)));
    switch (random.nextInt(12)) {
      case 0 -> flip(at);
      case 1 -> replace(at, Math.min(bytes.length, at + 1), new byte[] {(byte) random.nextInt()});
      case 2 -> bytes = Arrays.copyOf(bytes, at);
      case 3 -> replace(at, end, new byte[0]);
      case 4 -> replace(at, at, Arrays.copyOfRange(bytes, at, end));
      case 5 -> extreme(at);
      case 6, 7, 8 -> value(at);
      case 9 -> members(at);
      case 10 -> nest(at);
      default -> {
        byte[] any = new byte[1 + random.nextInt(4)];
        random.nextBytes(any);
        replace(at, end, any);
      }
    }
  }

  private void flip(int at) {
    if (at < bytes.length) {
      bytes[at] ^= (byte) (1 << random.nextInt(8));
    }
  }

  /** A length or a count, as binary formats have them: 1, 2, 4 or 8 bytes of either order. */
  private void extreme(int at) {
    long value = EXTREMES[random.nextInt(EXTREMES.length)];
    int width = 1 << random.nextInt(4);
    boolean little = random.nextBoolean();
    for (int i = 0; i < width && at + i < bytes.length; i++) {
      bytes[at + i] = (byte) (value >>> 8 * (little ? i : width - 1 - i));
    }
  }

  /** The next number, word or string of a text becomes another. */
  private void value(int at) {
    int start = at;
    while (start < bytes.length && !isWord(bytes[start]) && bytes[start] != '"') {
      start++;
    }
    int end = Math.min(bytes.length, start + 1);
    boolean quoted = start < bytes.length && bytes[start] == '"';
    while (end < bytes.length
        && (quoted ? bytes[end - 1] != '"' || end == start + 1 : isWord(bytes[end]))) {
      end++;
    }
    String word = WORDS[random.nextInt(WORDS.length)];
    replace(start, end, word.getBytes(StandardCharsets.UTF_8));
  }

  private static boolean isWord(byte b) {
    return b >= '0' && b <= '9'
        || b >= 'a' && b <= 'z'
        || b == '.'
        || b == '-'
        || b == '+'
        || b == 'E';
  }

  /** What stands between two commas or lines comes a second time, or changes places. */
  private void members(int at) {
    int[] cuts =
        IntStream.range(0, bytes.length).filter(i -> bytes[i] == ',' || bytes[i] == '\n').toArray();
    if (cuts.length < 3) {
      flip(at);
      return;
    }
    int first = random.nextInt(cuts.length - 2);
    int second = first + 1 + random.nextInt(cuts.length - 2 - first);
    byte[] a = Arrays.copyOfRange(bytes, cuts[first], cuts[first + 1]);
    byte[] b = Arrays.copyOfRange(bytes, cuts[second], cuts[second + 1]);
    replace(cuts[second], cuts[second + 1], a);
    if (random.nextBoolean()) {
      replace(cuts[first], cuts[first + 1], b);
    }
  }

  private void nest(int at) {
    String open = random.nextBoolean() ? "[" : "{\"a\":";
    int depth = random.nextInt(8) == 0 ? 20_000 : 1 << random.nextInt(11);
    replace(at, at, open.repeat(depth).getBytes(StandardCharsets.UTF_8));
  }

  private void replace(int start, int end, byte[] by) {
    ByteArrayOutputStream out = new ByteArrayOutputStream(bytes.length + by.length);
    out.write(bytes, 0, start);
    out.writeBytes(by);
    out.write(bytes, end, bytes.length - end);
    bytes = out.toByteArray();
  }
}
