package org.sightline.formats.safetensors;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;
import static org.sightline.formats.MalformedFiles.file;
import static org.sightline.formats.MalformedFiles.raw;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.sightline.formats.FormatException;

/** Every way a file can be wrong gives an error that names the key, what was found and expected. */
class SafetensorsMalformedTest {
  @TempDir Path folder;

  static Stream<Arguments> malformed() {
    String types = ElementType.names();
    byte[] two = "{}".getBytes(StandardCharsets.UTF_8);
    return Stream.of(
        arguments(new byte[0], "header length: found a file of 0 bytes, expected 8 or more"),
        arguments(new byte[7], "header length: found a file of 7 bytes, expected 8 or more"),
        arguments(
            raw(3, two),
            "header length: found 3, expected at most 2, what the file holds after these 8 bytes"),
        arguments(
            raw(100_000_001, two), "header length: found 100000001, expected at most 100000000"),
        arguments(
            raw(-1, two), "header length: found 18446744073709551615, expected at most 100000000"),
        arguments(
            raw(0, new byte[0]), "header: found nothing, expected '{' as its first character"),
        arguments(file(" {}"), "header: found ' ', expected '{' as its first character"),
        arguments(file("[]"), "header: found '[', expected '{' as its first character"),
        arguments(
            raw(3, new byte[] {'{', (byte) 0xff, '}'}),
            "header: found bytes that are not UTF-8, expected UTF-8 text"),
        arguments(
            file("{\"a\""),
            "header, line 1, column 5: found unexpected end-of-input within/between Object entries, expected JSON"),
        arguments(
            file("{} x"),
            "header, line 1, column 5: found unrecognized token 'x', expected a value"),
        arguments(
            file("{\"a\":{\"dtype\":U8}}"),
            "header, line 1, column 17: found unrecognized token 'U8', expected a value"),
        arguments(
            file("{}{}"), "header, line 1, column 4: found more, expected the end of the document"),
        arguments(
            file("{\"a\":1}"),
            "a: found NUMBER, expected an object with dtype, shape and data_offsets"),
        arguments(
            file("{\"a\":{}}"), "a: found the keys [], expected dtype, shape and data_offsets"),
        arguments(
            file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 0, 0, 0, 0),
            "a: found the keys [dtype, shape], expected dtype, shape and data_offsets"),
        arguments(one("F31", "[1]", "[0,4]"), "a: dtype: found 'F31', expected one of " + types),
        arguments(one("F4", "[2]", "[0,1]"), "a: dtype: found 'F4', expected one of " + types),
        arguments(
            file("{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", 0, 0, 0, 0),
            "a: dtype: found NUMBER, expected a string"),
        arguments(
            one("F32", "1", "[0,4]"), "a: shape: found NUMBER, expected an array of integers"),
        arguments(one("F32", "[\"1\"]", "[0,4]"), "a: shape: found STRING, expected an integer"),
        arguments(
            one("F32", "[1.0]", "[0,4]"),
            "a: shape: found 1.0, expected an integer from 0 to 2^63 - 1"),
        arguments(
            one("F32", "[-1]", "[0,4]"),
            "a: shape: found -1, expected an integer from 0 to 2^63 - 1"),
        arguments(
            one("F32", "[9223372036854775808]", "[0,4]"),
            "a: shape: found 9223372036854775808, expected an integer from 0 to 2^63 - 1"),
        arguments(
            one("F32", "[4294967296,4294967296]", "[0,4]"),
            "a: data_offsets: found [0,4], expected a size that fits 63 bits for F32 [4294967296,"
                + " 4294967296]"),
        arguments(
            one("F32", "[4611686018427387904,4,0]", "[0,0]"),
            "a: data_offsets: found [0,0], expected a size that fits 63 bits for F32"
                + " [4611686018427387904, 4, 0]"),
        arguments(
            one("F32", "[1]", "[0]"),
            "a: data_offsets: found [0], expected [begin, end] with begin <= end"),
        arguments(
            one("F32", "[1]", "[4,0]"),
            "a: data_offsets: found [4, 0], expected [begin, end] with begin <= end"),
        arguments(
            one("F32", "[1]", "[0,3]"),
            "a: data_offsets: found [0,3], expected 4 bytes for F32 [1]"),
        arguments(
            one("F32", "[1]", "[1,5]"),
            "a: data_offsets: found [1,5], expected to begin at 0, where the tensor before it"
                + " ends"),
        arguments(
            one("F32", "[2]", "[0,8]"),
            "data: found 4 bytes after the header, expected 8 bytes, the end of the last tensor"),
        arguments(
            one("U8", "[2]", "[0,2]"),
            "data: found 4 bytes after the header, expected 2 bytes, the end of the last tensor"),
        arguments(
            one("F32", "[2305843009213693951]", "[0,9223372036854775804]"),
            "data: found 4 bytes after the header, expected 9223372036854775804 bytes, the end of"
                + " the last tensor"),
        arguments(
            two("[0,2]", "[1,3]"),
            "b: data_offsets: found [1,3], expected to begin at 2, where the tensor before it"
                + " ends"),
        arguments(
            two("[0,2]", "[3,5]"),
            "b: data_offsets: found [3,5], expected to begin at 2, where the tensor before it"
                + " ends"),
        arguments(
            two("[0,2]", "[0,2]"),
            "b: data_offsets: found [0,2], expected to begin at 2, where the tensor before it"
                + " ends"),
        arguments(two("[0,2]", "[2,4]"), null),
        arguments(
            file(
                "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
                    + "\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"),
            "header: found the key 'a' twice, expected unique keys"),
        arguments(
            file(
                "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"),
            "a: found the key 'dtype' twice, expected unique keys"),
        arguments(
            file("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}"),
            "__metadata__: found the key 'k' twice, expected unique keys"),
        arguments(
            file("{\"__metadata__\":{\"k\":1}}"),
            "__metadata__: k: found NUMBER, expected a string"),
        arguments(
            file("{\"__metadata__\":[]}"),
            "__metadata__: found BEGIN_ARRAY, expected an object of strings"),
        // Well formed, if unusual: read as the official library reads them.
        arguments(file("{\"__metadata__\":null}"), null),
        arguments(
            file("{\"a\":{\"extra\":[1],\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}  "),
            null));
  }

  @ParameterizedTest
  @MethodSource("malformed")
  void namesFileKeyFoundAndExpected(byte[] bytes, String message) throws IOException {
    Path file = folder.resolve("model.safetensors");
    Files.write(file, bytes);
    if (message == null) {
      Safetensors.open(file).close();
    } else {
      FormatException error = assertThrows(FormatException.class, () -> Safetensors.open(file));
      assertEquals(file + ": " + message, error.getMessage());
    }
  }

  /** A file that shrinks after it was opened gives an error, not memory from elsewhere. */
  @Test
  void reportsAFileThatWasCutShortAfterOpening() throws IOException {
    Path file = folder.resolve("cut.safetensors");
    Safetensors.write(file, Map.of("x", SafetensorsTest.floats(1, 2, 3, 4)), Map.of());
    byte[] whole = Files.readAllBytes(file);
    try (Safetensors read = Safetensors.open(file)) {
      Files.write(file, java.util.Arrays.copyOf(whole, whole.length - 6));
      FormatException error = assertThrows(FormatException.class, () -> read.tensor("x"));
      assertEquals(
          file
              + ": data: found the end of the file at "
              + (whole.length - 6)
              + ", expected 6 bytes more",
          error.getMessage());
    }
  }

  /** Whatever one changes, a file is refused with a message or every tensor in it can be read. */
  @Test
  void survivesRandomDamage() throws IOException {
    Path good = folder.resolve("good.safetensors");
    Safetensors.write(
        good,
        Map.of(
            "weight", SafetensorsTest.floats(1, 2, 3, 4).reshape(2, 2),
            "bias", SafetensorsTest.zeros(ElementType.BF16, 3),
            "step", SafetensorsTest.zeros(ElementType.I64)),
        Map.of("format", "pt"));
    byte[] whole = Files.readAllBytes(good);
    Path bad = folder.resolve("bad.safetensors");
    String replacements = "0123456789[]{},:\"-eE. \u0000";
    Random random = new Random(5);
    int refused = 0;
    for (int i = 0; i < 3000; i++) {
      byte[] damaged = whole.clone();
      for (int k = random.nextInt(3); k >= 0; k--) {
        damaged[random.nextInt(damaged.length)] =
            (byte)
                (random.nextBoolean()
                    ? random.nextInt(256)
                    : replacements.charAt(random.nextInt(replacements.length())));
      }
      if (random.nextInt(8) == 0) {
        damaged = java.util.Arrays.copyOf(damaged, random.nextInt(whole.length + 16));
      }
      Files.write(bad, damaged);
      try (Safetensors read = Safetensors.open(bad)) {
        for (String name : read.names()) {
          assertEquals(read.info(name).sizeInBytes(), read.tensor(name).nbytes());
        }
      } catch (FormatException e) {
        assertTrue(e.getMessage().contains("expected"), e.getMessage());
        refused++;
      }
    }
    assertTrue(refused > 1500 && refused < 3000, "refused " + refused);
  }

  private static byte[] one(String dtype, String shape, String offsets) {
    return file(
        "{\"a\":{\"dtype\":\""
            + dtype
            + "\",\"shape\":"
            + shape
            + ",\"data_offsets\":"
            + offsets
            + "}}",
        0,
        0,
        0,
        0);
  }

  /** Two tensors of two bytes over four. */
  private static byte[] two(String a, String b) {
    String info = "{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":";
    return file("{\"a\":" + info + a + "},\"b\":" + info + b + "}}", 0, 0, 0, 0);
  }
}
