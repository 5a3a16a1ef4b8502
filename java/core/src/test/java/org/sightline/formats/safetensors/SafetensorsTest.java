package org.sightline.formats.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.sightline.formats.FormatException;
import org.sightline.formats.MalformedFiles;
import org.sightline.formats.file.AtomicFile;
import org.sightline.formats.file.SharedFile;

public class SafetensorsTest {
  @TempDir Path folder;

  /** Derived by hand from the format's description; no byte of it comes from the writer. */
  /** In holes, which take no room on the disk. */
  @ParameterizedTest
  @ValueSource(ints = {1, 4096})
  void moreThanTheMemoryIsNotRead(int tensors) throws IOException {
    long size = (1L << 42) / tensors;
    String header =
        IntStream.range(0, tensors)
            .mapToObj(
                i ->
                    "\"%d\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[%d,%d]}"
                        .formatted(i, size, i * size, (i + 1) * size))
            .collect(Collectors.joining(",", "{", "}"));
    ByteBuffer bytes = ByteBuffer.allocate(8 + header.length()).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(header.length()).put(header.getBytes(StandardCharsets.UTF_8));
    Path sparse = Files.write(folder.resolve("sparse.safetensors"), bytes.array());
    try (SharedFile content = SharedFile.toWrite(sparse)) {
      content.setSize(bytes.capacity() + tensors * size);
    }
    try (Safetensors file = Safetensors.open(sparse)) {
      String message = assertThrows(FormatException.class, file::requireMemory).getMessage();
      assertTrue(message.startsWith(sparse + ": data: found 4398046511104 bytes"), message);
      if (tensors == 1) {
        assertThrows(FormatException.class, () -> file.tensor("0"));
      }
    }
  }

  @Test
  void writesTheBytesOfTheOfficialWriter() throws IOException {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    tensors.put("c", floats(1, 2.5f).to(torch.ScalarType.BFloat16).reshape(1, 2));
    tensors.put("b", floats(1, -2));
    tensors.put("a", floats(0.5f).reshape(new long[0]));
    tensors.put("n\"\u00e9", longs(7));
    Path file = folder.resolve("golden.safetensors");
    Safetensors.write(file, tensors, Map.of("format", "pt"));

    String header =
        "{\"__metadata__\":{\"format\":\"pt\"},"
            + "\"n\\\"\u00e9\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
            + "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]},"
            + "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[12,20]},"
            + "\"c\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[20,24]}}";
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    assertEquals(255, text.length, "the fixture's own length, padded to 256 below");
    ByteBuffer expected = ByteBuffer.allocate(8 + 256 + 24).order(ByteOrder.LITTLE_ENDIAN);
    expected.putLong(256).put(text).put((byte) ' ');
    expected.putLong(7).putInt(0x3f000000).putInt(0x3f800000).putInt(0xc0000000);
    expected.putShort((short) 0x3f80).putShort((short) 0x4020);
    assertArrayEquals(expected.array(), Files.readAllBytes(file));
  }

  @Test
  void writesAnEmptyFileAsTheOfficialWriterDoes() throws IOException {
    Path file = folder.resolve("empty.safetensors");
    Safetensors.write(file, Map.of(), Map.of());
    assertArrayEquals(
        new byte[] {8, 0, 0, 0, 0, 0, 0, 0, '{', '}', ' ', ' ', ' ', ' ', ' ', ' '},
        Files.readAllBytes(file));
    try (Safetensors read = Safetensors.open(file)) {
      assertTrue(read.names().isEmpty());
      assertTrue(read.metadata().isEmpty());
    }
  }

  @Test
  void ordersByTypeFromTheLastToTheFirstThenByUtf8Name() throws IOException {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    for (ElementType type : ElementType.values()) {
      tensors.put(type.name(), zeros(type, 1));
    }
    // U+1F600 sorts before U+FFFD in UTF-16 code units, after it in UTF-8.
    tensors.put("\ud83d\ude00", zeros(ElementType.U64, 1));
    tensors.put("\ufffd", zeros(ElementType.U64, 1));
    Path file = folder.resolve("order.safetensors");
    Safetensors.write(file, tensors, Map.of());
    try (Safetensors read = Safetensors.open(file)) {
      assertEquals(
          List.of(
              "U64",
              "\ufffd",
              "\ud83d\ude00",
              "I64",
              "F64",
              "C64",
              "F32",
              "U32",
              "I32",
              "BF16",
              "F16",
              "U16",
              "I16",
              "F8_E8M0",
              "F8_E4M3",
              "F8_E5M2",
              "I8",
              "U8",
              "BOOL"),
          List.copyOf(read.names()));
    }
  }

  @ParameterizedTest
  @EnumSource(ElementType.class)
  void keepsTheBitsOfEveryType(ElementType type) throws IOException {
    Random random = new Random(type.ordinal());
    byte[] bits = new byte[3 * 5 * type.bytes()];
    random.nextBytes(bits);
    if (type == ElementType.BOOL) {
      for (int i = 0; i < bits.length; i++) {
        bits[i] &= 1;
      }
    }
    Tensor tensor = zeros(type, 3, 5);
    new BytePointer(tensor.data_ptr()).put(bits, 0, bits.length);
    Path file = folder.resolve("types.safetensors");
    Safetensors.write(file, Map.of("x", tensor), Map.of());
    try (Safetensors read = Safetensors.open(file)) {
      assertEquals(type, read.info("x").type());
      assertEquals(List.of(3L, 5L), read.info("x").shape());
      for (Tensor copy : List.of(read.tensor("x"), read.view("x"), read.tensor("x", 7))) {
        assertEquals(type, ElementType.of(copy));
        assertEquals(5, copy.size(1));
        assertArrayEquals(bits, bytes(copy));
      }
    }
  }

  @Test
  void readsManyTensorsEmptyOnesAndScalars() throws IOException {
    Map<String, Tensor> tensors = new HashMap<>();
    for (int i = 0; i < 3000; i++) {
      tensors.put("layer." + i, floats(i, -i));
    }
    tensors.put("scalar", floats(4).reshape(new long[0]));
    tensors.put("none", zeros(ElementType.F32, 0, 7));
    tensors.put("noneAtEnd", zeros(ElementType.U8, 3, 0));
    Path file = folder.resolve("many.safetensors");
    Safetensors.write(file, tensors, Map.of("b", "2", "a", "1\n"));
    try (Safetensors read = Safetensors.open(file)) {
      assertEquals(3003, read.names().size());
      assertEquals(Map.of("a", "1\n", "b", "2"), read.metadata());
      for (int i = 0; i < 3000; i += 97) {
        assertArrayEquals(bytes(floats(i, -i)), bytes(read.view("layer." + i)));
      }
      assertEquals(0, read.tensor("scalar").dim());
      assertEquals(4, read.view("scalar").item_float());
      assertEquals(7, read.tensor("none").size(1));
      assertEquals(0, read.view("noneAtEnd").numel());
    }
  }

  @Test
  void writesStridedAndDifferentiableTensorsInRowMajorOrder() throws IOException {
    Tensor base = floats(1, 2, 3, 4, 5, 6).reshape(2, 3);
    Tensor leaf = base.clone().requires_grad_(true);
    Path file = folder.resolve("strided.safetensors");
    Safetensors.write(
        file, Map.of("t", base.t(), "column", base.select(1, 1), "leaf", leaf), Map.of());
    try (Safetensors read = Safetensors.open(file)) {
      assertArrayEquals(bytes(floats(1, 4, 2, 5, 3, 6)), bytes(read.tensor("t")));
      assertEquals(List.of(3L, 2L), read.info("t").shape());
      assertArrayEquals(bytes(floats(2, 5)), bytes(read.tensor("column")));
      assertFalse(read.tensor("leaf").requires_grad());
    }
  }

  @Test
  void copiesOutliveTheFileAndMayBeWritten() throws IOException {
    Path file = write("own", floats(1, 2));
    Tensor tensor;
    try (Safetensors read = Safetensors.open(file)) {
      tensor = read.tensor("x");
    }
    Files.delete(file);
    tensor.zero_();
    assertArrayEquals(bytes(floats(0, 0)), bytes(tensor));
  }

  @Test
  void viewsLiveAsLongAsAnyAliasAndNoLonger() throws IOException {
    Path file = write("views", floats(1, 2, 3, 4));
    int before = MappedTensors.live();
    List<Tensor> kept = new ArrayList<>();
    try (Safetensors read = Safetensors.open(file)) {
      // More than JavaCPP's ten callback instances, and within scopes that end.
      for (int i = 0; i < 100; i++) {
        try (PointerScope scope = new PointerScope()) {
          Tensor alias = read.view("x").narrow(0, 2, 2);
          if (i % 10 == 0) {
            alias.retainReference();
            kept.add(alias);
          }
        }
      }
    }
    Files.delete(file);
    System.gc();
    assertEquals(before + kept.size(), MappedTensors.live());
    for (Tensor alias : kept) {
      assertArrayEquals(bytes(floats(3, 4)), bytes(alias));
      alias.close();
    }
    assertEquals(before, MappedTensors.live());
  }

  @Test
  void viewsFallBackToCopiesWhereTheFileIsNotAligned() throws IOException {
    String header = "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}} ";
    Path file = folder.resolve("odd.safetensors");
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    assertEquals(1, (8 + text.length) % 2);
    Files.write(file, MalformedFiles.file(header, 0, 0, (byte) 0x80, 0x3f));
    int before = MappedTensors.live();
    try (Safetensors read = Safetensors.open(file)) {
      assertEquals(1, read.view("x").item_float());
      assertEquals(before, MappedTensors.live());
    }
  }

  /** A sparse file: 3 GiB that no disk holds, and a tensor behind them. */
  @Test
  void readsBeyondTwoGibibytes() throws IOException {
    long big = 3L << 30;
    String header =
        String.format(
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[0,%d]},"
                + "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[%d,%d]}}",
            big, big, big, big + 8);
    byte[] prefix = MalformedFiles.file(header);
    Path file = folder.resolve("sparse.safetensors");
    try (FileChannel channel =
        FileChannel.open(
            file,
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.SPARSE,
            StandardOpenOption.WRITE)) {
      channel.write(ByteBuffer.wrap(prefix));
      ByteBuffer data = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN);
      channel.write(data.putFloat(1.5f).putFloat(-3).flip(), prefix.length + big);
    }
    try (Safetensors read = Safetensors.open(file)) {
      assertEquals(big, read.info("a").end());
      assertArrayEquals(bytes(floats(1.5f, -3)), bytes(read.tensor("b")));
      assertArrayEquals(bytes(floats(1.5f, -3)), bytes(read.view("b")));
    }
  }

  @Test
  void aFailedWriteLeavesTheOldFileAndNothingElse() throws IOException {
    Path file = write("atomic", floats(1, 2));
    byte[] old = Files.readAllBytes(file);
    Tensor undefined = new Tensor();
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class,
            () -> Safetensors.write(file, Map.of("x", undefined), Map.of()));
    assertEquals(
        "tensor 'x': found an undefined tensor, expected a defined one", refused.getMessage());
    // Fails half way, with the header already written.
    assertThrows(
        IOException.class,
        () ->
            AtomicFile.write(
                file,
                channel -> {
                  channel.write(ByteBuffer.wrap(new byte[100]));
                  throw new IOException("disk full");
                }));
    assertArrayEquals(old, Files.readAllBytes(file));
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList());
    }
  }

  @Test
  void refusesWhatTheFormatCannotHold() {
    Path file = folder.resolve("never.safetensors");
    Tensor complex = torch.zeros(new long[] {1}, new TensorOptions(torch.ScalarType.ComplexDouble));
    assertTrue(
        assertThrows(
                IllegalArgumentException.class,
                () -> Safetensors.write(file, Map.of("z", complex), Map.of()))
            .getMessage()
            .startsWith("tensor 'z': tensor dtype: found ComplexDouble, expected one that"));
    assertEquals(
        "tensor name: found '__metadata__', expected any other: it is reserved",
        assertThrows(
                IllegalArgumentException.class,
                () -> Safetensors.write(file, Map.of("__metadata__", floats(1)), Map.of()))
            .getMessage());
    Path nowhere = folder.resolve("no/such/folder.safetensors");
    assertEquals(
        nowhere + ": the folder " + nowhere.getParent() + " does not exist",
        assertThrows(IOException.class, () -> Safetensors.write(nowhere, Map.of(), Map.of()))
            .getMessage());
    assertFalse(Files.exists(file));
  }

  @Test
  void explainsUseAfterCloseAndMissingNames() throws IOException {
    Path file = write("closed", floats(1));
    Safetensors read = Safetensors.open(file);
    assertEquals(
        file + ": found no tensor 'y' among 1",
        assertThrows(IllegalArgumentException.class, () -> read.tensor("y")).getMessage());
    read.close();
    read.close();
    for (var use :
        List.<org.junit.jupiter.api.function.Executable>of(
            () -> read.tensor("x"), () -> read.view("x"))) {
      IllegalStateException late = assertThrows(IllegalStateException.class, use);
      assertEquals(file + ": used after it was closed", late.getMessage());
      assertNotNull(late.getCause(), "where it was closed");
    }
  }

  private Path write(String name, Tensor x) throws IOException {
    Path file = folder.resolve(name + ".safetensors");
    Safetensors.write(file, Map.of("x", x), Map.of());
    return file;
  }

  static Tensor floats(float... values) {
    Tensor tensor = zeros(ElementType.F32, values.length);
    tensor.data_ptr_float().put(values, 0, values.length);
    return tensor;
  }

  private static Tensor longs(long... values) {
    Tensor tensor = zeros(ElementType.I64, values.length);
    tensor.data_ptr_long().put(values, 0, values.length);
    return tensor;
  }

  public static Tensor zeros(ElementType type, long... shape) {
    return torch.zeros(shape, new TensorOptions(type.scalarType()));
  }

  public static byte[] bytes(Tensor tensor) {
    try (PointerScope scope = new PointerScope()) {
      Tensor plain = tensor.contiguous();
      byte[] bytes = new byte[(int) plain.nbytes()];
      new BytePointer(plain.data_ptr()).get(bytes, 0, bytes.length);
      return bytes;
    }
  }
}
